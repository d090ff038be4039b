"""Training in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from worldsim.train import loop

STEP = 0.015  # seconds


@contextmanager
def counted_budgets() -> Iterator[None]:
    """Every step takes `STEP` of a budget, so that fast, slow and busy machines train alike."""
    train_step, now = loop.Loop._train_step, 0.0

    def step(self: loop.Loop, due: bool) -> loop.Losses:
        nonlocal now
        now += STEP
        return train_step(self, due)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_train_step", step)
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
        yield
