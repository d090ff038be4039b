from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_DIT, TINY_TOKENIZER
from steady import STEP, counted_budgets
from torch import nn

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.errors import TrainingError
from worldsim.train import dynamics
from worldsim.train.calibrate import CodeCalibration
from worldsim.train.loop import UNCOUNTED, Loop, LoopConfig
from worldsim.train.run import DynamicsStage, TokenizerStage, TrainConfig, train
from worldsim.train.store import LatentStore
from worldsim.world import World, load_world

QUICK = LoopConfig(warmup=5, checkpoint_minutes=0.01)
CONFIG = TrainConfig(
    "test/square",
    tokenizer=TokenizerStage(model=TINY_TOKENIZER, loop=QUICK, batch=8),
    dynamics=DynamicsStage(
        model=replace(TINY_DIT, temporal="time", temporal_every=2),
        loop=QUICK,
        batch=8,
        frames=6,
        calibration=CodeCalibration(rounds=1, batches=1),
    ),
    tokenizer_share=0.5,
    starts=2,
)


def test_a_world_comes_out(square: Path, tmp_path: Path) -> None:
    folder = train(CONFIG, square, tmp_path, budget=4, device="cpu", compiled=False)
    world = World.load(folder, device="cpu")
    assert world.config.game == "test/square" and world.config.fps == 10
    assert world.reset(seed=0).frame.shape == (1, 32, 32, 3)
    assert world.step(Controls(keys=frozenset({"d"}))).frame.shape == (1, 32, 32, 3)
    assert list((tmp_path / "previews").glob("tokenizer-*.png")) and list((tmp_path / "logs").glob("*/events*"))
    assert train(CONFIG, square, tmp_path, budget=4, device="cpu", compiled=False) == folder  # nothing left to do


def test_training_goes_on_from_a_finished_world(square: Path, tmp_path: Path) -> None:
    first = train(CONFIG, square, tmp_path / "first", budget=2, device="cpu", compiled=False)
    window = CONFIG.dynamics.model.window + 1  # on which no weight depends
    longer = replace(CONFIG, dynamics=replace(CONFIG.dynamics, model=replace(CONFIG.dynamics.model, window=window)))
    second = train(longer, square, tmp_path / "second", budget=1, device="cpu", compiled=False, start=first)
    old, new = load_world(first), load_world(second)
    assert new[0].dynamics.window == window == old[0].dynamics.window + 1 and new[3].shape[1] == window
    same = zip(old[1].parameters(), new[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same) and torch.equal(old[2].codebook, new[2].codebook)
    nearer = [
        float((b - a).detach().norm() / a.detach().norm())
        for a, b in zip(old[2].parameters(), new[2].parameters(), strict=True)
        if a.ndim > 1
    ]
    assert 0 < sum(nearer) / len(nearer) < 0.5
    other = replace(CONFIG, dynamics=replace(CONFIG.dynamics, model=replace(CONFIG.dynamics.model, width=64)))
    with pytest.raises(TrainingError, match="width=64"):
        train(other, square, tmp_path / "third", budget=1, device="cpu", compiled=False, start=first)


def test_windows_may_be_short_at_first(square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int]] = []
    draw = dynamics.draw_windows

    def record(store: LatentStore, rows: int, frames: int, *rest: Any) -> Any:
        drawn.append((rows, frames))
        return draw(store, rows, frames, *rest)

    monkeypatch.setattr(dynamics, "draw_windows", record)
    config = replace(CONFIG, dynamics=replace(CONFIG.dynamics, short_share=0.5))
    world = train(config, square, tmp_path / "first", budget=4, device="cpu", compiled=False)
    turn = drawn.index((8, 6))
    assert set(drawn[:turn]) == {(16, 3)} and set(drawn[turn:]) == {(8, 6)}
    drawn.clear()
    train(config, square, tmp_path / "second", budget=1, device="cpu", compiled=False, start=world)
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
        return train(config, square, tmp_path / out, budget=1, device="cpu", compiled=False, start=start), set(seen)

    monkeypatch.setattr(dynamics, "draw_windows", record)
    count = len(Dataset(square, "train"))
    plain, once = episodes(False, "plain")
    both, twice = episodes(True, "both")
    assert (once, twice) == ({count}, {2 * count})
    assert (load_world(plain)[0].mirrored, load_world(both)[0].mirrored) == (False, True)
    assert episodes(True, "further", both)[1] == {2 * count}
    assert episodes(True, "never", plain)[1] == {count}, "whose tokenizer never saw mirrored frames"


def test_windows_of_one_frame_have_no_half() -> None:
    with pytest.raises(TrainingError, match="cannot be halved; give frames=2"):
        DynamicsStage(frames=1, short_share=0.5)


def loop(folder: Path, budget: float, seen: list[float], poison: int = -1) -> Loop:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def losses(step: int) -> dict[str, torch.Tensor]:
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        seen.append(float(loss.detach()))
        return {"loss": loss * float("nan") if step == poison else loss}

    return Loop(model, losses, replace(QUICK, decay=1e-9), folder, budget, name="stage", images=16)


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole: list[float] = []
    straight = loop(tmp_path / "a", 1e9, whole)
    for _ in range(40):
        straight._train_step(False)
    parts: list[float] = []
    first = loop(tmp_path / "b", 1e9, parts)
    for _ in range(25):
        first._train_step(False)
    first.save()
    second = loop(tmp_path / "b", 1e9, parts)
    second._resume()
    for _ in range(15):
        second._train_step(False)
    assert parts == whole
    assert all(torch.equal(a, b) for a, b in zip(straight.average.parameters(), second.average.parameters(), strict=True))


def test_steps_that_compile_do_not_count(tmp_path: Path) -> None:
    with counted_budgets() as clock:
        stage = loop(tmp_path, 9.5 * STEP, [])
        usual = stage.losses

        def losses(step: int) -> dict[str, torch.Tensor]:
            if step == 5:  # another shape
                stage.uncounted = 1
                clock.now += 100 * STEP
            return usual(step)

        stage.losses = losses
        stage.run()
    assert stage.step == UNCOUNTED + 1 + 10, "the first steps and the one of another shape are not counted"


@pytest.mark.parametrize(("poison", "noticed"), [(50, 50), (60, 80)])
def test_nan_stops_with_the_last_finite_checkpoint_kept(poison: int, noticed: int, tmp_path: Path) -> None:
    """Losses are checked at every 50th step and weights whenever they are saved, here at every 40th."""
    stage = loop(tmp_path, 60, [], poison=poison)
    stage.config = replace(stage.config, checkpoint_minutes=39.5 * STEP / 60)
    with counted_budgets(), pytest.raises(TrainingError, match=f"not finite at step {noticed}"):
        stage.run()
    kept = torch.load(stage.path)
    assert kept["step"] == 40 and all(value.isfinite().all() for value in kept["model"].values())


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    broken = loop(tmp_path, 1, [])
    broken.path.parent.mkdir(exist_ok=True)
    broken.path.write_bytes(b"half a checkpoint")
    with pytest.raises(TrainingError, match=r"stage\.ckpt cannot be read .* Delete it"):
        broken.run()


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
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    reached = torch.load(checkpoint)["elapsed"]
    assert reached > 0
    folder = train(CONFIG, square, tmp_path, budget=4, device="cpu", compiled=False)
    assert torch.load(checkpoint)["elapsed"] >= reached
    assert World.load(folder, device="cpu").reset(seed=0).frame.any()
