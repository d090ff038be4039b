from __future__ import annotations

from dataclasses import replace

import numpy as np
from conftest import TINY_SPEC

from worldsim.data import Dataset
from worldsim.eval.clips import Place
from worldsim.eval.control import MIRRORED, MODEL, SHUFFLED, control_rows, mirrors, predicted_controls

CONTEXT, HORIZON = 4, 5


def test_controls_of_short_clips_repeat(recorded: Dataset) -> None:
    controls = predicted_controls(recorded, [Place(0, 15, 2), Place(1, 0, 5)], CONTEXT, HORIZON)
    assert controls[..., 2].tolist() == [[18, 19, 18, 19, 18], [3, 4, 5, 6, 7]]


def test_which_controls_have_a_left_and_a_right() -> None:
    assert mirrors(TINY_SPEC)
    assert not mirrors(replace(TINY_SPEC, keys=("w", "s"), exclusive=(), mouse_limit=(0.0, 0.0)))


def test_mirrored_controls_are_left_out_where_they_change_nothing() -> None:
    rng = np.random.default_rng(0)
    true, shuffled = (rng.random((2, HORIZON, TINY_SPEC.size), np.float32) for _ in range(2))
    rows = control_rows(TINY_SPEC, true, shuffled)
    assert list(rows) == [MODEL, MIRRORED, SHUFFLED]
    assert np.array_equal(rows[MIRRORED], TINY_SPEC.mirror(true)) and np.array_equal(rows[SHUFFLED], shuffled)
    upright = replace(TINY_SPEC, keys=("w", "s"), exclusive=(), mouse_limit=(0.0, 0.0))
    assert list(control_rows(upright, true, shuffled)) == [MODEL, SHUFFLED]
