"""The transfer card on a cluster: worldsim/transfer/spread.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worldsim.scale.cluster import opened
from worldsim.scale.config import RayOptions

from .conftest import Machines

pytest.importorskip("stable_baselines3")

from transfer.test_spread import FEW

from worldsim.transfer.runs import Runs
from worldsim.transfer.spread import spread


def runs_in(dodge: dict[str, Any], out: Path) -> Runs:
    return Runs(dodge["worlds"], [], {}, dodge["data"], out, FEW, "cpu", None)


def results(runs: Runs) -> Any:
    """All rows and heads, without the seconds they took."""
    rows: Any = {**runs.rows(), "heads": runs.heads()}
    return {name: [{key: part for key, part in run.items() if key != "seconds"} for run in made] for name, made in rows.items()}


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "policies").rglob("*.safetensors"))}


@pytest.mark.slow
def test_runs_and_policies_are_those_of_one_process(
    dodge: dict[str, Any], machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine is killed while it makes a run."""
    here = results(runs_in(dodge, tmp_path / "one"))
    second = machines.add()
    with opened(RayOptions(ray=(machines.address,))) as cluster:
        assert cluster is not None
        runs = runs_in(dodge, tmp_path / "two")
        adopt = runs.store.adopt
        killed: list[Any] = []

        def adopt_and_kill(files: Any) -> None:
            adopt(files)
            if not killed:
                machines.kill(second)
                killed.append(second)

        runs.store.adopt = adopt_and_kill  # type: ignore[method-assign]
        spread(runs, cluster)
        assert killed
    capsys.readouterr()
    assert results(runs_in(dodge, tmp_path / "two")) == here
    assert not capsys.readouterr().out, "nothing was made again"
    assert files(tmp_path / "one") == files(tmp_path / "two") != {}
