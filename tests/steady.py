"""Training in tests, by a clock that counts steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worldsim.train import loop

STEP = 0.015  # seconds


class Clock:
    """What training takes for the time, in seconds."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@contextmanager
def counted_budgets() -> Iterator[Clock]:
    """Every training step takes `STEP` seconds, so that fast, slow and busy machines train alike."""
    train_step, clock = loop.Loop.train_step, Clock()

    def step(self: loop.Loop, due: bool) -> dict[str, float]:
        clock.now += STEP
        return train_step(self, due)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "train_step", step)
        patch.setattr(loop, "time", clock)
        yield clock
