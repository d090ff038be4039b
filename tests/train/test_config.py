from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worldsim.errors import ConfigError
from worldsim.model.dit import DiTConfig
from worldsim.train.calibrate import CodeCalibration, EndCalibration
from worldsim.train.codebook import CodebookConfig
from worldsim.train.config import DynamicsStage, Run, TokenizerStage, TrainConfig
from worldsim.train.dynamics import DynamicsObjective
from worldsim.train.loop import LoopConfig
from worldsim.train.previews import PreviewConfig
from worldsim.train.store import CacheConfig
from worldsim.train.tokenizer import TokenizerObjective


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        (LoopConfig, "learning_rate", -1.0, "give a number of at least 0"),
        (LoopConfig, "decay", 0.0, "give a share above 0"),
        (LoopConfig, "stall", 0.5, "give a number of at least 1"),
        (LoopConfig, "compile_steps", 0, "give"),
        (LoopConfig, "warmup", "5", "give"),
        (TokenizerObjective, "hard_share", 2, "at least 0 and at most 1"),
        (DynamicsObjective, "ending_share", 1.0, "at least 0 and below 1"),
        (DynamicsObjective, "space", "y", "'x', 'v'"),
        (DynamicsObjective, "end_boost", float("nan"), "give a number"),
        (CodebookConfig, "rounds", 0, "give"),
        (CodeCalibration, "batch", 0, "give"),
        (EndCalibration, "share", -0.1, "at least 0 and at most 1"),
        (CacheConfig, "threads", 0, "give"),
        (PreviewConfig, "every", 0, "give"),
        (TokenizerStage, "batch", 1.5, "give"),
        (DynamicsStage, "teacher_share", 1.5, "at least 0 and at most 1"),
        (DynamicsStage, "imagined_depth", 0, "give"),
        (TrainConfig, "tokenizer_share", 1.0, "at least 0 and below 1"),
        (TrainConfig, "starts", 0, "give"),
    ],
)
def test_a_field_out_of_range_is_named(kind: Any, field: str, value: Any, message: str) -> None:
    given = {"name": "test/square"} if kind is TrainConfig else {}
    with pytest.raises(ConfigError, match=rf"{field} was .*{message}"):
        kind(**given, **{field: value})


def test_windows_of_one_frame_have_no_half() -> None:
    with pytest.raises(ConfigError, match="frames was 1, which cannot be halved; give at least 2"):
        DynamicsStage(frames=1, short_share=0.5)


def test_rounds_need_a_model_and_an_objective_for_them() -> None:
    shown = DynamicsObjective(revealed_share=0.5)
    with pytest.raises(ConfigError, match=r"revealed_share was 0.5, and model.reveals is False; set both"):
        DynamicsStage(objective=shown)
    stage = DynamicsStage(DiTConfig(codes=8, reveals=True), shown)
    assert TrainConfig("test/square", dynamics=stage, rounds=2).rounds == 2
    with pytest.raises(ConfigError, match=r"rounds was 2, and dynamics.objective.revealed_share is 0; give a share"):
        TrainConfig("test/square", dynamics=replace(stage, objective=DynamicsObjective()), rounds=2)


def test_rounds_of_calibration_may_be_left_out() -> None:
    assert CodeCalibration(rounds=0).rounds == 0


def test_a_run_takes_paths_as_text(square: Path) -> None:
    run = Run.open(TrainConfig("test/square"), str(square), "~/runs/square", "cpu", compiled=False)
    assert run.folder == Path.home() / "runs/square" and len(run.dataset) == 4 and len(run.held_out) == 2
    assert run.preview("dynamics", 12).name == "dynamics-0000012.png" and run.cache("a.bin").parent.name == "cache"


def test_imagined_pasts_need_one_copy() -> None:
    with pytest.raises(ConfigError, match="copies was 0, and imagined_share is not 0; give 1 copy"):
        DynamicsStage(imagined_share=0.25)
