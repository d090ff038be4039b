from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conftest import TINY_DIT, TINY_TOKENIZER

from worldsim import presets
from worldsim.bench.config import TrainStepsConfig
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
    made = bench_train(TrainStepsConfig("test/tiny", size=(32, 48), steps=2, device="cpu", compile=False))
    assert [row["stage"] for row in made["results"]] == ["tokenizer", "dynamics"]
    assert [row["images"] for row in made["results"]] == [2, 8]
    for row in made["results"]:
        assert row["seconds"] > 0 and row["gflops"] > 0 and 0 < row["share"] < 1
        assert sum(row["parts"].values()) == pytest.approx(1) and min(row["parts"].values()) > 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:2] == ["stage", "frames/s"] and [line.split()[0] for line in shown[1:]] == ["tokenizer", "dynamics"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps was 0; give a whole number of at least 1"),
        ({"stages": ()}, "stages was empty"),
        ({"stages": ("dynamic",)}, "stages was 'dynamic'; .* Did you mean 'dynamics'"),
        ({"size": (0, 128)}, "size was 0; give a whole number of at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        TrainStepsConfig(**given)


def test_an_unknown_preset_is_explained() -> None:
    with pytest.raises(WorldsimError, match="no preset 'doom/take'"):
        bench_train(TrainStepsConfig("doom/take"))
