"""Tasks and workers on a cluster of machines that may die."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worldsim.errors import ConfigError, DataError, ScaleError
from worldsim.scale.cluster import Cluster, LostError, opened
from worldsim.scale.config import NO_RAY, RayOptions

from .conftest import Machines


def test_importing_worldsim_does_not_import_ray() -> None:
    code = "import sys, worldsim, worldsim.cli.data, worldsim.scale.cluster; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_one_module_imports_ray() -> None:
    root = Path(__file__).parents[2]
    sources = [path for part in ("worldsim", "envs", "kernels") for path in (root / part).rglob("*.py")]
    assert [path.name for path in sources if "import ray" in path.read_text()] == ["cluster.py"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ScaleError, match=r'Ray is not installed; pip install "worldsim-dit\[scale\]"'),
        opened(RayOptions(ray=())),
    ):
        pass


def test_nothing_is_opened_unless_asked_for() -> None:
    with opened(NO_RAY) as cluster:
        assert cluster is None


@pytest.mark.parametrize(
    "wrong", [("10.0.0.1",), ("host:70000",), ("ray://host:10001",), ("auto", "toy/dodge"), ("toy/dodge",), ("",)]
)
def test_addresses_are_checked(wrong: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"ray was .*; give HOST:PORT, auto, local or nothing"):
        RayOptions(ray=wrong)


@pytest.mark.parametrize("wrong", [{"ray_cpus": 0}, {"ray_cpus": 1.5}, {"ray_gpus": -1}, {"ray_gpus": 2.5}, {"ray_retries": -1}])
def test_what_a_task_gets_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(wrong))} was"):
        RayOptions(**wrong)


def plus(shared: int, item: int) -> int:
    if item == 13:
        raise DataError(f"{item} is unlucky.")
    return shared + item


def test_a_map_gives_what_one_process_gives(cluster: Cluster) -> None:
    assert list(cluster.map(plus, 10, range(8))) == [plus(10, item) for item in range(8)]
    assert sorted(cluster.map(plus, 10, range(8), ordered=False)) == list(range(10, 18))
    with pytest.raises(DataError, match=r"^13 is unlucky\.$"):
        list(cluster.map(plus, 10, [12, 13]))


def dies_at_first(folder: Path, item: int) -> int:
    """Kills its process at the first try of each item."""
    mark = folder / str(item)
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return item


def dies(shared: None, item: int) -> None:
    os._exit(1)


def test_what_dies_with_its_process_is_run_again(machines: Machines, tmp_path: Path) -> None:
    with opened(RayOptions(ray=(machines.address,), ray_retries=1)) as cluster:
        assert cluster is not None
        assert list(cluster.map(dies_at_first, tmp_path, range(2))) == [0, 1]
        with pytest.raises(ScaleError, match=r"a task was lost 2 times .* --ray-retries"):
            list(cluster.map(dies, None, [0]))


class Counter:
    def __init__(self, start: int, folder: Path) -> None:
        if start < 0:
            raise DataError("start was negative.")
        self.count, self.folder = start, folder
        self.folder.joinpath("open").touch()

    def add(self, number: int) -> int:
        self.count += number
        return self.count

    def die(self) -> None:
        os._exit(1)

    def close(self) -> None:
        self.folder.joinpath("open").unlink()


def test_a_worker_keeps_its_state_until_it_is_closed(cluster: Cluster, tmp_path: Path) -> None:
    worker = cluster.start(Counter, 1, tmp_path)
    replies = [worker.call("add", 1), worker.call("add", 10)]
    assert [reply.get() for reply in replies] == [2, 12] and worker.began.get() is True
    assert cluster.ready(replies) == replies and (tmp_path / "open").exists()
    cluster.stop([worker])
    assert not (tmp_path / "open").exists()


def test_errors_of_workers_and_their_death_reach_the_caller(cluster: Cluster, tmp_path: Path) -> None:
    wrong = cluster.start(Counter, -1, tmp_path)
    for reply in (wrong.began, wrong.call("add", 1)):
        with pytest.raises(DataError, match=r"^start was negative\.$"):
            reply.get()
    cluster.stop([wrong])
    dead = cluster.start(Counter, 1, tmp_path)
    for reply in (dead.call("die"), dead.call("add", 1)):
        with pytest.raises(LostError):
            reply.get()
    cluster.stop([dead])


def test_more_than_any_machine_has_is_refused(machines: Machines) -> None:
    for wrong in ({"ray_cpus": 64}, {"ray_gpus": 0.5}):
        with (
            pytest.raises(ScaleError, match=r"no machine of the cluster has as much, they have 1 CPUs and 0 GPUs"),
            opened(RayOptions(ray=(machines.address,), **wrong)),
        ):
            pass


def test_where_no_cluster_is_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs Ray; install: pip install 'worldsim-dit[scale]'")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")  # as one that has ended leaves it
    for address in ("127.0.0.1:1", "auto"):
        with (
            pytest.raises(ScaleError, match=f"ray was '{address}'; no cluster can be used there"),
            opened(RayOptions(ray=(address,))),
        ):
            pass
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    with pytest.raises(ScaleError, match=r"RAY_ADDRESS was '127\.0\.0\.1:2'; no cluster"), opened(RayOptions(ray=())):
        pass
