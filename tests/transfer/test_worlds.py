from __future__ import annotations

from typing import Any

import numpy as np

from transfer.conftest import WORLD
from worldsim.data import Dataset
from worldsim.transfer.worlds import with_seed


def test_worlds_differ_by_their_seed_alone() -> None:
    other = with_seed(WORLD, 3)
    assert (other.tokenizer.loop.seed, other.dynamics.loop.seed) == (3, 3) and with_seed(other, 0) == WORLD


def test_shuffled_controls_are_those_of_other_moments(dodge: dict[str, Any]) -> None:
    true, shuffled = Dataset(dodge["data"]), Dataset(dodge["data"].with_name("shuffled") / "data")
    assert np.array_equal(true.lengths, shuffled.lengths) and np.array_equal(true.rows.rewards, shuffled.rows.rewards)
    assert np.array_equal(true.frames(3), shuffled.frames(3))
    assert np.array_equal(true.rows.actions.sum(0), shuffled.rows.actions.sum(0))
    agree = (true.rows.actions == shuffled.rows.actions).all(1).mean()
    assert agree < 0.5, "no more than chance"
