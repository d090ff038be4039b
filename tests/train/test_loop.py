from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from disks import small_disk
from steady import STEP, counted_budgets
from torch import nn

from worldsim.errors import TrainingError
from worldsim.train.loop import Loop, LoopConfig, make_optimizers
from worldsim.train.saving import CHECKPOINT

QUICK = LoopConfig(warmup=5)


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
        straight.train_step()
    parts: list[float] = []
    first = loop(tmp_path / "b", 1e9, parts)
    for _ in range(25):
        first.train_step()
    first.save()
    second = loop(tmp_path / "b", 1e9, parts)
    second.resume()
    for _ in range(15):
        second.train_step()
    assert parts == whole
    assert all(torch.equal(a, b) for a, b in zip(straight.average.parameters(), second.average.parameters(), strict=True))


def test_steps_that_compile_do_not_count(tmp_path: Path) -> None:
    with counted_budgets() as clock:
        stage = loop(tmp_path, 9.5 * STEP, [])
        usual = stage.losses

        def losses(step: int) -> dict[str, torch.Tensor]:
            if step == 5:  # another shape
                stage.shapes_change()
                clock.now += 100 * STEP
            return usual(step)

        stage.losses = losses
        stage.run()
    assert stage.step == 2 * QUICK.compile_steps + 10, "the first steps and those after another shape are not counted"


@pytest.mark.parametrize(("poison", "noticed"), [(50, 50), (60, 80)])
def test_nan_stops_with_the_last_finite_checkpoint_kept(poison: int, noticed: int, tmp_path: Path) -> None:
    """Losses are checked at every 50th step and weights whenever they are saved, here at every 40th."""
    stage = loop(tmp_path, 60, [], poison=poison)
    stage.config = replace(stage.config, first_checkpoint=39.5 * STEP, checkpoint_minutes=39.5 * STEP / 60)
    with counted_budgets(), pytest.raises(TrainingError, match=f"not finite at step {noticed}"):
        stage.run()
    kept = torch.load(stage.path)
    assert kept["step"] == 40 and all(value.isfinite().all() for value in kept["model"].values())


def test_a_suspended_machine_does_not_use_the_budget_up(tmp_path: Path) -> None:
    with counted_budgets() as clock:
        stage = loop(tmp_path, 99.5 * STEP, [])
        stage.config = replace(stage.config, pause=QUICK.stall * STEP)
        usual = stage.losses

        def losses(step: int) -> dict[str, torch.Tensor]:
            if step == 20:
                clock.now += 3600
            return usual(step)

        stage.losses = losses
        stage.run()
    assert stage.step >= QUICK.compile_steps + 100 - 2 * QUICK.stall


def test_a_busy_machine_does_not_stretch_the_budget(tmp_path: Path) -> None:
    """Every third step takes 50 times as long as the others."""
    with counted_budgets() as clock:
        stage = loop(tmp_path, 400 * STEP, [])
        usual, begun = stage.losses, clock.now

        def losses(step: int) -> dict[str, torch.Tensor]:
            clock.now += 50 * STEP * (step % 3 == 0)
            return usual(step)

        stage.losses = losses
        stage.run()
        assert clock.now - begun <= (400 + 2 * 52) * STEP


def test_a_checkpoint_comes_before_the_first_step_and_again_soon(tmp_path: Path) -> None:
    """Before the first step, so that a full disk is found; then within the first half minute, and every two."""
    saved = []
    with counted_budgets() as clock:
        stage = loop(tmp_path, 150, [])
        stage.config = replace(stage.config, first_checkpoint=20.0, checkpoint_minutes=2.0)
        usual = stage.losses

        def losses(step: int) -> dict[str, torch.Tensor]:
            clock.now += 1 - STEP
            at = torch.load(stage.path)["step"]
            saved.extend([] if at in saved else [at])
            return usual(step)

        stage.losses = losses
        stage.run()
    assert saved == [0, 21, 142]


def test_nothing_is_written_where_nothing_is_left_to_do(tmp_path: Path) -> None:
    with counted_budgets():
        loop(tmp_path, 10 * STEP, []).run()
        written = (tmp_path / "stage.ckpt").stat().st_mtime_ns
        loop(tmp_path, 10 * STEP, []).run()
    assert (tmp_path / "stage.ckpt").stat().st_mtime_ns == written


@pytest.mark.parametrize("missing", CHECKPOINT)
def test_a_checkpoint_that_lacks_something_is_named(missing: str, tmp_path: Path) -> None:
    stage = loop(tmp_path, 1, [])
    stage.save()
    state = torch.load(stage.path)
    del state[missing]
    torch.save(state, stage.path)
    with pytest.raises(TrainingError, match=rf"stage\.ckpt does not fit this configuration \(KeyError: '{missing}'\)"):
        loop(tmp_path, 1, []).run()


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    loop(tmp_path, 1, []).save()
    other = Loop(nn.Linear(3, 3), lambda _: {}, QUICK, tmp_path, 1, name="stage", images=1)
    with pytest.raises(TrainingError, match=r"stage\.ckpt does not fit this configuration .*Use another run folder"):
        other.run()


def test_settings_are_those_of_the_configuration_and_not_of_the_checkpoint(tmp_path: Path) -> None:
    loop(tmp_path, 1, []).save()
    stage = loop(tmp_path, 1, [])
    stage.optimizers = make_optimizers(stage.model, replace(QUICK, weight_decay=0.5))
    assert stage.resume()
    assert stage.optimizers[-1].param_groups[0]["weight_decay"] == 0.5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own
def test_logs_that_fill_the_disk_are_one_error(tmp_path: Path) -> None:
    with counted_budgets(), small_disk(30_000):
        stage = loop(tmp_path, 60, [])
        stage.config = replace(stage.config, report_seconds=0.0, first_checkpoint=1e9)
        with pytest.raises(TrainingError, match=r"cannot write logs below .*logs: File too large"):
            stage.run()
    assert loop(tmp_path, 60, []).resume()
