from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_DIT, TINY_TOKENIZER
from steady import STEP, counted_budgets

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.errors import TrainingError
from worldsim.train import dynamics, stages
from worldsim.train.calibrate import CodeCalibration
from worldsim.train.config import DynamicsStage, TokenizerStage, TrainConfig
from worldsim.train.imagine import imagine_context
from worldsim.train.loop import LoopConfig
from worldsim.train.run import train
from worldsim.train.store import LatentStore
from worldsim.world import World, load_world

QUICK = LoopConfig(warmup=5, first_checkpoint=1.0, checkpoint_minutes=0.01)
CONFIG = TrainConfig(
    "test/square",
    tokenizer=TokenizerStage(model=TINY_TOKENIZER, loop=QUICK, batch=8),
    dynamics=DynamicsStage(
        model=replace(TINY_DIT, temporal="time", temporal_every=2),
        loop=QUICK,
        batch=8,
        frames=6,
        calibration=CodeCalibration(rounds=1, batches=1, batch=4, frames=4),
    ),
    tokenizer_share=0.5,
    starts=2,
)


@pytest.fixture(autouse=True)
def steady_clock() -> Iterator[None]:
    with counted_budgets():
        yield


def test_a_world_comes_out(square: Path, tmp_path: Path) -> None:
    folder = train(CONFIG, square, tmp_path, budget=60 * STEP, device="cpu", compiled=False).world
    world = World.load(folder, device="cpu")
    assert world.config.game == "test/square" and world.config.fps == 10
    assert world.reset(seed=0).frame.shape == (1, 32, 32, 3)
    assert world.step(Controls(keys=frozenset({"d"}))).frame.shape == (1, 32, 32, 3)
    assert list((tmp_path / "previews").glob("tokenizer-*.png")) and list((tmp_path / "logs").glob("*/events*"))
    assert train(CONFIG, square, tmp_path, budget=60 * STEP, device="cpu", compiled=False).world == folder  # it is finished


def test_training_goes_on_from_a_finished_world(square: Path, tmp_path: Path) -> None:
    first = train(CONFIG, square, tmp_path / "first", budget=40 * STEP, device="cpu", compiled=False).world
    window = CONFIG.dynamics.model.window + 1  # on which no weight depends
    longer = replace(CONFIG, dynamics=replace(CONFIG.dynamics, model=replace(CONFIG.dynamics.model, window=window)))
    second = train(longer, square, tmp_path / "second", budget=20 * STEP, device="cpu", compiled=False, start=first).world
    old, new = load_world(first), load_world(second)
    assert new[0].dynamics.window == window == old[0].dynamics.window + 1 and new[3].shape[1] == window
    same = zip(old[1].parameters(), new[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same) and torch.equal(old[2].codebook, new[2].codebook)
    nearer = [
        float((b - a).detach().norm() / a.detach().norm())
        for a, b in zip(old[2].parameters(), new[2].parameters(), strict=True)
        if a.ndim > 1 and a.any()
    ]
    assert 0 < sum(nearer) / len(nearer) < 0.5
    other = replace(CONFIG, dynamics=replace(CONFIG.dynamics, model=replace(CONFIG.dynamics.model, width=64)))
    with pytest.raises(TrainingError, match="width=64"):
        train(other, square, tmp_path / "third", budget=20 * STEP, device="cpu", compiled=False, start=first)


def test_windows_may_be_short_at_first(square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int]] = []
    draw = dynamics.draw_windows

    def record(store: LatentStore, rows: int, frames: int, *rest: Any) -> Any:
        drawn.append((rows, frames))
        return draw(store, rows, frames, *rest)

    monkeypatch.setattr(dynamics, "draw_windows", record)
    config = replace(CONFIG, dynamics=replace(CONFIG.dynamics, short_share=0.5))
    world = train(config, square, tmp_path / "first", budget=60 * STEP, device="cpu", compiled=False).world
    turn = drawn.index((8, 6))
    assert set(drawn[:turn]) == {(16, 3)} and set(drawn[turn:]) == {(8, 6)}
    drawn.clear()
    train(config, square, tmp_path / "second", budget=20 * STEP, device="cpu", compiled=False, start=world)
    assert set(drawn) == {(8, 6)}, "a world to start from has seen the short ones"


def test_mirrored_games_train_on_every_episode_both_ways(square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    draw = dynamics.draw_windows

    def record(store: LatentStore, *rest: Any) -> Any:
        seen.append(len(store.lengths))
        return draw(store, *rest)

    def episodes(mirrored: bool, out: str, start: Path | None = None) -> tuple[Path, set[int]]:
        seen.clear()
        config = replace(CONFIG, mirrored=mirrored)
        return train(config, square, tmp_path / out, budget=20 * STEP, device="cpu", compiled=False, start=start).world, set(seen)

    monkeypatch.setattr(dynamics, "draw_windows", record)
    count = len(Dataset(square, "train"))
    plain, once = episodes(False, "plain")
    both, twice = episodes(True, "both")
    assert (once, twice) == ({count}, {2 * count})
    assert (load_world(plain)[0].mirrored, load_world(both)[0].mirrored) == (False, True)
    assert episodes(True, "further", both)[1] == {2 * count}
    assert episodes(True, "never", plain)[1] == {count}, "whose tokenizer never saw mirrored frames"


def test_shortcut_targets_may_come_late(square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught: list[bool] = []
    make = dynamics.make_batch

    def record(*given: Any) -> Any:
        batch = make(*given)
        taught.append(batch.shortcuts > 0)
        return batch

    monkeypatch.setattr(dynamics, "make_batch", record)
    config = replace(CONFIG, dynamics=replace(CONFIG.dynamics, teacher_share=0.25))
    train(config, square, tmp_path, budget=80 * STEP, device="cpu", compiled=False)
    turn = taught.index(True)
    assert all(taught[turn:]) and turn == pytest.approx(0.75 * len(taught), abs=4)


def test_a_budget_of_nothing_is_refused(square: Path, tmp_path: Path) -> None:
    for budget in (0, -1, float("nan")):
        with pytest.raises(TrainingError, match="give more than 0, such as 2h"):
            train(CONFIG, square, tmp_path / "run", budget=budget)
    assert not (tmp_path / "run").exists()


def test_killed_training_resumes_from_its_checkpoint(square: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of a stage, then the same command again."""
    script = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path; from train.test_run import CONFIG; from worldsim.train.run import train\n"
        "train(CONFIG, Path(sys.argv[1]), Path(sys.argv[2]), budget=12, device='cpu', compiled=False)\n"
    )
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", script, str(square), str(tmp_path), str(tests)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "tokenizer.ckpt"
    deadline = time.monotonic() + 180
    reached = 0.0
    while not reached and time.monotonic() < deadline:
        time.sleep(0.1)
        reached = torch.load(checkpoint)["elapsed"] if checkpoint.exists() else 0.0
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert reached > 0
    folder = train(CONFIG, square, tmp_path, budget=60 * STEP, device="cpu", compiled=False).world
    assert torch.load(checkpoint)["elapsed"] >= reached
    assert World.load(folder, device="cpu").reset(seed=0).frame.any()


def test_imagined_pasts_come_last(square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def record(*given: Any) -> Any:
        steps.append(given[-1] % stages.SEEDS)
        return imagine_context(*given)

    monkeypatch.setattr(stages, "imagine_context", record)
    stage = replace(CONFIG.dynamics, imagined_share=0.25, objective=replace(CONFIG.dynamics.objective, copies=1))
    train(replace(CONFIG, dynamics=stage), square, tmp_path, budget=80 * STEP, device="cpu", compiled=False)
    assert steps == list(range(steps[0], steps[-1] + 1)), "from some step on, in every one"
    assert len(steps) == pytest.approx(0.25 * (steps[-1] + 1), abs=4)
