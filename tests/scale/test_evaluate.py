"""Evaluation on a cluster: worldsim/eval/parts.py."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Failure
from eval.test_report import SMALL, random_world

from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import make_policy
from worldsim.envs.games.dodge import DODGE
from worldsim.eval.report import evaluate
from worldsim.scale.cluster import Cluster, opened
from worldsim.scale.config import RayOptions

from .conftest import Machines

ELSEWHERE = ("cluster", "machine")


def measured(world: Path, data: Path, out: Path, cluster: Cluster | None) -> dict[str, Any]:
    figures = evaluate(world, data, out, config=SMALL, device="cpu", cluster=cluster)
    return {name: value for name, value in figures.items() if name not in ELSEWHERE}


def test_figures_and_pictures_are_those_of_one_process(
    tiny_world_path: Path,
    recorded_path: Path,
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    one, other = (measured(tiny_world_path, recorded_path, tmp_path / name, c) for name, c in (("1", None), ("2", cluster)))
    assert one == other and one["psnr"]
    for name in ("sheet.png", "dreams.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.slow
def test_objects_are_found_there_too(cluster: Cluster, tmp_path: Path) -> None:
    source = PolicySource("restless", partial(make_policy, "restless", DODGE.control_spec))
    collect(DODGE.start, [source], tmp_path / "data", game=DODGE.name, frames=60, eval_frames=120, progress=False)
    world = random_world(tmp_path / "world", Dataset(tmp_path / "data"))
    one, other = (measured(world, tmp_path / "data", tmp_path / "out", where) for where in (None, cluster))
    assert one == other and one["objects"]["found"] and one["around"]


@pytest.mark.slow
def test_a_machine_that_dies_changes_no_figure(
    tiny_world_path: Path,
    recorded_path: Path,
    machines: Machines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second machine is killed once it has tasks."""
    one = measured(tiny_world_path, recorded_path, tmp_path / "1", None)
    second = machines.add()
    with opened(RayOptions(ray=(machines.address,))) as cluster:
        assert cluster is not None and cluster.room == 2
        map_ = cluster.map

        def kill_after_the_first(*args: Any) -> Any:
            results = map_(*args)
            yield next(results)
            machines.kill(second)
            yield from results

        monkeypatch.setattr(cluster, "map", kill_after_the_first)
        assert measured(tiny_world_path, recorded_path, tmp_path / "2", cluster) == one


def test_what_is_done_in_one_process_takes_no_cluster(failure: Failure, tiny_world_path: Path) -> None:
    for option in ("--studio", "--sheet-only"):
        assert "ray was given; with --studio or --sheet-only" in failure("eval", str(tiny_world_path), option, "--ray")
