"""Processes that are killed, and errors in one of several."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from steady import STEP, counted_budgets
from torch import nn

from worldsim.errors import TrainingError, WorldsimError
from worldsim.train import distributed
from worldsim.train.launch import launch, reported
from worldsim.train.loop import Loop, LoopConfig

STEPS, BATCHES = 20, 4
TESTS = Path(__file__).parent.parent


def started(function: str, *given: object) -> list[str]:
    """Arguments of Python that call a function of this file in a process of `launch`."""
    script = f"import sys; sys.path[:0] = sys.argv[1:2]\nfrom train.test_launch import {function} as run; run(*sys.argv[2:])"
    return ["-c", script, str(TESTS), *map(str, given)]


def train_and_die(folder: str, killed: str) -> None:
    """Trains a little model, noting each batch; in step `killed` of the first attempt, the second process dies."""
    attempts = Path(folder) / f"attempts-{distributed.expected()}-{os.environ['RANK']}"
    attempts.write_text(f"{int(attempts.read_text()) + 1 if attempts.exists() else 1}")
    attempt = int(attempts.read_text())
    with reported(), distributed.joined(), counted_budgets():
        stage = small(Path(folder), STEPS - 1)  # and one more, since after the restart another does not count
        usual = stage.losses

        def losses(i: int) -> dict[str, torch.Tensor]:
            if attempt == 1 and stage.step == int(killed) and distributed.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            with (Path(folder) / f"seen-{distributed.rank()}").open("a") as file:
                file.write(f"{attempt} {stage.step} {i}\n")
            return usual(i)

        stage.losses = losses
        average = stage.run()
        if distributed.is_main():
            torch.save(average.state_dict(), Path(folder) / "average.pt")


def small(folder: Path, steps: int) -> Loop:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def losses(i: int) -> dict[str, torch.Tensor]:
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(i))
        return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    config = LoopConfig(warmup=5, compile_steps=1, decay=1e-9, batches=BATCHES)
    config = replace(config, first_checkpoint=3.5 * STEP, checkpoint_minutes=3.5 * STEP / 60)
    budget = (steps - config.compile_steps - 0.5) * STEP  # those that may compile do not count
    return Loop(model, losses, config, folder, budget, name="stage", images=16)


def history(folder: Path) -> list[int]:
    """The batches that the final weights have seen: of steps that were trained again after a restart, the last time counts."""
    lines = [tuple(map(int, line.split())) for file in folder.glob("seen-*") for line in file.read_text().splitlines()]
    resumed = {attempt: min(step for a, step, _ in lines if a == attempt) for attempt, *_ in lines}
    gone = {a: min((first for other, first in resumed.items() if other > a), default=STEPS + 1) for a in resumed}
    return sorted(i for attempt, step, i in lines if step < gone[attempt])


@pytest.mark.slow
def test_a_killed_process_costs_no_window_and_repeats_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """kill -9 of one of two processes in the middle: both start again from the last checkpoint, and end with the weights of a
    run that nothing happened to."""
    (tmp_path / "alone").mkdir()
    with counted_budgets():
        whole = small(tmp_path / "alone", STEPS).run()
    launch(2, started("train_and_die", tmp_path, 11))
    assert history(tmp_path) == list(range(STEPS * BATCHES))
    repeated = [line.split() for line in (tmp_path / "seen-0").read_text().splitlines()]
    assert {attempt for attempt, *_ in repeated} == {"1", "2"}
    assert 0 < min(int(step) for attempt, step, _ in repeated if attempt == "2") <= 11, "from a checkpoint, not from nothing"
    after = torch.load(tmp_path / "average.pt")
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, after[name], atol=1e-5)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("worldsim")]
    wanted = "process 1 of those that train together was killed by SIGKILL; going on from the last checkpoint (restart 1 of 3)"
    assert said == [f"worldsim: {wanted}"]
    assert len(list((tmp_path / "stage.steps").iterdir())) == 1, "older checkpoints are gone"


def fail(which: str) -> None:
    with reported(), distributed.joined():
        if distributed.rank() == 1:
            raise TrainingError("the flow loss is nan; lower the rate") if which == "user" else OSError("no such luck")
        distributed.wait()


def test_an_error_of_one_process_ends_all_with_its_message_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorldsimError, match=r"^the flow loss is nan; lower the rate$"):
        launch(2, started("fail", "user"))
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_crash_that_repeats_is_given_up(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingError, match="process 1 of those that train together ended with status 1, and 0 restarts did not"):
        launch(2, started("fail", "bug"), restarts=0)
    assert capfd.readouterr().err.count("OSError: no such luck") == 1, "its own traceback, and nothing of the others"
