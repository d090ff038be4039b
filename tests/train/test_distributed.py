"""One, two and four processes train the same model on the same windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import Processes
from steady import STEP, counted_budgets

from worldsim import device
from worldsim.errors import WorldsimError
from worldsim.train import distributed
from worldsim.train.loop import Loop
from worldsim.train.run import train
from worldsim.world import load_world

from .test_run import CONFIG

CPU = torch.device("cpu")


def trained(data: Path, out: Path, sharding: str) -> tuple[list[Any], str]:
    """A small world, trained by a clock that counts steps, faster in later processes; its steps' losses and batches."""
    seen: list[Any] = []
    mean = Loop.train_step

    def recorded(self: Loop, due: bool = False) -> dict[str, float]:
        drawn: list[int] = []
        usual = self.losses

        def noted(i: int) -> Any:
            drawn.append(i)
            return usual(i)

        self.losses = noted
        parts = mean(self, True)
        clock.now += distributed.rank() * STEP
        self.losses = usual
        seen.append((self.name, self.step, drawn, parts["loss"], parts["gradient"]))
        return parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "train_step", recorded)
        patch.setattr(device, "FAST_BF16", frozenset())  # float32: less rounding
        with counted_budgets() as clock:
            made = train(configured(sharding), data, out, budget=12 * STEP, device="cpu", compiled=False)
    return seen, str(made.world)


def configured(sharding: str) -> Any:
    def wanted(stage: Any) -> Any:
        return replace(stage, batch=2, loop=replace(stage.loop, batches=4, sharding=sharding))

    return replace(CONFIG, tokenizer=wanted(CONFIG.tokenizer), dynamics=wanted(CONFIG.dynamics))


@pytest.fixture(scope="module")
def alone(square: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], str]:
    return trained(square, tmp_path_factory.mktemp("alone"), "auto")


@pytest.mark.parametrize(
    ("count", "sharding"), [pytest.param(2, "replicate", marks=pytest.mark.slow), (4, "replicate"), (3, "shard")]
)
def test_any_number_of_processes_trains_the_same_world(
    count: int, sharding: str, alone: tuple[list[Any], str], processes: Processes, square: Path, tmp_path: Path
) -> None:
    """The same loss curve and gradients up to rounding, from the same batches, each seen once."""
    together = processes.run(count, trained, square, tmp_path, sharding)
    for own in zip(alone[0], *(seen for seen, _ in together), strict=True):
        (name, step, drawn, loss, gradient), *others = own
        assert all(other[:2] == (name, step) for other in others), "all stop at the same step"
        counted = [[i for i in other[2] if i <= max(drawn)] for other in others]
        shared = sorted({i for batches in counted for i in batches})
        assert shared == drawn == list(range(4 * (step - 1), 4 * step)), "the windows of a step do not depend on the processes"
        for other in others:
            assert other[3] == pytest.approx(loss, rel=1e-3) and other[4] == pytest.approx(gradient, rel=1e-2)
    one, other = (load_world(Path(folder)) for folder in (alone[1], together[0][1]))
    for mine, theirs in zip(one[2].parameters(), other[2].parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-2), "the worlds are the same"


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that says it has two; none is touched."""
    taken: list[int] = []
    monkeypatch.setattr(distributed, "count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.local_device("auto") == torch.device("cuda", 1) and taken == [1]
    assert distributed.local_device("cpu") == torch.device("cpu")
    with pytest.raises(WorldsimError, match="device was 'cuda:1'; with 3 processes give cuda"):
        distributed.local_device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(WorldsimError, match="this machine has 2 GPUs; start at most so many processes on it"):
        distributed.local_device("cuda")


def test_others_that_cannot_be_reached_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "PATIENCE", timedelta(seconds=1))
    with pytest.raises(WorldsimError, match=r"the other processes cannot be reached at 127\.0\.0\.1:9"), distributed.joined():
        pass
