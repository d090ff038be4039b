from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY_DIT, TINY_TOKENIZER

from worldsim.errors import TrainingError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.train import checkpoint
from worldsim.train.config import DynamicsStage, Run, TokenizerStage, TrainConfig
from worldsim.train.plan import Plan, duration, make_plan
from worldsim.train.start import Start
from worldsim.train.store import FrameStore
from worldsim.world import WorldConfig

CONFIG = TrainConfig("test/square", TokenizerStage(TINY_TOKENIZER), DynamicsStage(TINY_DIT), tokenizer_share=0.25)


@pytest.fixture
def run(square: Path, tmp_path: Path) -> Run:
    return Run.open(CONFIG, square, tmp_path / "run", "cpu", compiled=False)


def seconds(plan: Plan) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in plan.phases}


def test_all_phases_are_announced(run: Run) -> None:
    plan = make_plan(run, 1000, None)
    announced = seconds(plan)
    assert list(announced) == [
        "decode frames",
        "train the tokenizer",
        "encode latents",
        "fit codewords",
        "train the dynamics",
        "calibrate",
        "encode start contexts",
    ]
    assert announced["train the tokenizer"] == 250 and announced["train the dynamics"] == 750
    assert announced["calibrate"] <= 75 and announced["fit codewords"] <= 30
    assert all(value > 0 for value in announced.values())
    shown = str(plan).splitlines()
    assert shown[1].split()[:4] == ["decode", "frames", "96", "frames"]
    assert shown[-1].startswith("in all, without compiling") and shown[-1].endswith(f"about {duration(plan.seconds)}")


def test_what_is_there_already_is_not_done_again(run: Run) -> None:
    before = make_plan(run, 1000, None)
    FrameStore(run.dataset, run.cache("frames.bin"), 0)
    after = make_plan(run, 1000, None)
    assert "decode frames" not in seconds(after)
    assert before.bytes - after.bytes == run.dataset.total_frames * 32 * 32 * 3


def test_time_trained_already_is_not_announced_again(run: Run) -> None:
    checkpoint.save(run.folder / "tokenizer.ckpt", {"elapsed": 300.0})
    checkpoint.save(run.folder / "dynamics.ckpt", {"elapsed": 100.0})
    left = seconds(make_plan(run, 1000, None))
    assert left["train the tokenizer"] == 0 and left["train the dynamics"] == 650
    assert seconds(make_plan(run, 2000, None))["train the tokenizer"] == 200


def test_a_damaged_checkpoint_is_found_before_the_work(run: Run) -> None:
    run.folder.mkdir()
    (run.folder / "dynamics.ckpt").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"dynamics\.ckpt cannot be read"):
        make_plan(run, 1000, None)


def test_a_world_to_start_from_has_its_tokenizer(run: Run) -> None:
    sizes = replace(TINY_DIT, controls=2)
    config = WorldConfig("x", "x", 32, 32, 1.0, 1, run.dataset.spec, TINY_TOKENIZER, sizes)
    start = Start("abc", config, Tokenizer(TINY_TOKENIZER), DiT(sizes))
    assert list(seconds(make_plan(run, 100, start))) == [
        "encode latents",
        "train the dynamics",
        "calibrate",
        "encode start contexts",
    ]
    start = replace(start, dynamics=DiT(replace(sizes, codes=0, reveals=False)))
    assert "fit codewords" in seconds(make_plan(run, 100, start))


def test_a_disk_without_room_is_found_before_the_work(run: Run) -> None:
    plan = make_plan(run, 1000, None)
    plan.check_room(run.folder)
    with pytest.raises(TrainingError, match=r"run will take 1,000,000,000,000 MB more, and its disk has [\d,]+ MB free"):
        replace(plan, bytes=10**18).check_room(run.folder)
    assert not run.folder.exists()


@pytest.mark.parametrize(("given", "shown"), [(0.2, "0 s"), (99, "99 s"), (600, "10 min"), (5400, "1 h 30 min")])
def test_durations(given: float, shown: str) -> None:
    assert duration(given) == shown
