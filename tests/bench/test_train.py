from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import TINY_DIT, TINY_TOKENIZER

from worldsim import presets
from worldsim.bench.train import bench_train
from worldsim.errors import WorldsimError
from worldsim.train.config import DynamicsStage, TokenizerStage, TrainConfig
from worldsim.train.dynamics import DynamicsObjective


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    objective = DynamicsObjective(copies=1).without_shortcuts()
    config = TrainConfig(
        "test/tiny",
        TokenizerStage(TINY_TOKENIZER, batch=2),
        DynamicsStage(replace(TINY_DIT, depth=3, temporal="time", temporal_every=2), objective, batch=2, frames=4),
    )
    monkeypatch.setitem(presets.PRESETS, "test/tiny", lambda: config)
    return config


def test_every_stage_has_a_rate_and_parts_of_a_whole(tiny: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    made = bench_train("test/tiny", size=(32, 48), steps=2, device="cpu", compiled=False)
    assert [row["stage"] for row in made["results"]] == ["tokenizer", "dynamics"]
    assert [row["images"] for row in made["results"]] == [2, 8]
    for row in made["results"]:
        assert row["seconds"] > 0 and row["gflops"] > 0 and 0 < row["share"] < 1
        assert sum(row["parts"].values()) == pytest.approx(1) and min(row["parts"].values()) > 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:2] == ["stage", "frames/s"] and [line.split()[0] for line in shown[1:]] == ["tokenizer", "dynamics"]


@pytest.mark.parametrize("given", [{"steps": 0}, {"stages": ()}, {"stages": ("dynamic",)}])
def test_what_cannot_be_measured_is_refused(given: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(WorldsimError, match="give at least 1, and 'tokenizer' or 'dynamics'"):
        bench_train(**given)  # type: ignore[arg-type]


def test_an_unknown_preset_is_explained() -> None:
    with pytest.raises(WorldsimError, match="no preset 'doom/take'"):
        bench_train("doom/take")
