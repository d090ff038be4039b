"""Runs as tasks; on a real cluster in tests/scale/test_transfer.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transfer.conftest import CARD
from worldsim.transfer.config import CONSTANT, DREAM, RANDOM, UNTRAINED, Randomness

pytest.importorskip("stable_baselines3")

from worldsim.transfer.runs import Runs
from worldsim.transfer.spread import spread

FEW = replace(
    CARD,
    levels=(Randomness(1.0),),
    dream_steps=600,
    equal_steps=100,
    long_steps=100,
    checkpoints=2,
    dreams=4,
    dream_episodes=4,
    checkpoint_episodes=1,
    choice_episodes=1,
    episodes=2,
    head_clips=4,
)


class Near:
    """Does tasks in this process, the last first, and notes which."""

    room = 1

    def __init__(self) -> None:
        self.done: list[str] = []

    def map(self, function: Any, shared: Any, items: Any, ordered: bool) -> Iterator[Any]:
        for item in reversed(items):
            self.done.append(item.method)
            yield function(shared, item)


def test_what_is_unfinished_is_made_as_it_would_be_here(
    dodge: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def open_runs(out: Path, rows: tuple[str, ...]) -> Runs:
        runs = Runs(dodge["worlds"], [], {}, dodge["data"], out, FEW, "cpu", None)
        jobs = {row: made for row, made in runs.jobs().items() if row in rows}
        monkeypatch.setattr(runs, "jobs", lambda: jobs)
        return runs

    rows, cluster = (RANDOM, UNTRAINED, DREAM), Near()
    runs, here = (open_runs(tmp_path / name, rows) for name in ("there", "here"))
    runs.random(runs.folders[0])
    spread(runs, cluster)  # type: ignore[arg-type]
    assert cluster.done == ["head", "dream", "untrained"]
    capsys.readouterr()
    assert without_seconds(runs.rows()) == without_seconds(here.rows()) and len(runs.heads()) == 1
    assert "untrained-policy-0 ..." in capsys.readouterr().out, "of the runs that were made here"
    policies = [sorted((tmp_path / name / "policies").rglob("*.safetensors")) for name in ("there", "here")]
    assert [path.read_bytes() for path in policies[0]] == [path.read_bytes() for path in policies[1]] and len(policies[0]) == 2
    spread(runs, cluster)  # type: ignore[arg-type]
    assert len(cluster.done) == 3, "all is there"


def test_trainings_whose_dreams_come_from_servers_stay_here(
    dodge: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(dodge["worlds"], [], {}, dodge["data"], tmp_path, FEW, "cpu", None, lambda plan, dreams: pytest.fail("not yet"))
    jobs = {row: made for row, made in runs.jobs().items() if row in (CONSTANT, DREAM)}
    monkeypatch.setattr(runs, "jobs", lambda: jobs)
    cluster = Near()
    spread(runs, cluster)  # type: ignore[arg-type]
    assert cluster.done == ["head", "constant"]


def without_seconds(rows: dict[str, list[dict[str, Any]]]) -> Any:
    return {row: [{name: part for name, part in run.items() if name != "seconds"} for run in made] for row, made in rows.items()}
