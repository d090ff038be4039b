"""Flat actions: the axes of a game's controls, both ways, and their keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.flat import FlatActions
from worldsim.errors import ControlError

SPEC = ControlSpec(keys=("a", "d", "e"), mouse_limit=(16.0, 0.0), buttons=("left",), exclusive=(("a", "d"),))
ONE = (Controls(), Controls(keys={"a"}), Controls(keys={"d"}, buttons={"left"}))


def test_default_axes() -> None:
    flat = FlatActions(SPEC)
    assert flat.space == spaces.MultiDiscrete([3, 2, 5, 2])
    expected = [[0, 0, 0, 0, 0, 0], [0, 1, 1, 8, 0, 1], [1, 0, 0, -2, 0, 0]]
    assert flat.vectors([[0, 0, 0, 0], [2, 1, 4, 1], [1, 0, 1, 0]]).tolist() == expected
    assert FlatActions(ControlSpec(keys=())).space == spaces.Discrete(1)


def test_one_axis_is_discrete() -> None:
    flat = FlatActions(SPEC, (ONE,))
    assert flat.space == spaces.Discrete(3)
    assert flat.vectors([0, 2]).tolist() == flat.vectors([[0], [2]]).tolist() == [[0] * 6, [0, 1, 0, 0, 0, 1]]


def test_nearest_is_the_way_back() -> None:
    flat, one = FlatActions(SPEC), FlatActions(SPEC, (ONE,))
    flat.space.seed(0)
    actions = np.stack([flat.space.sample() for _ in range(20)])
    assert np.array_equal(flat.nearest(flat.vectors(actions)), actions)
    assert flat.nearest(np.array([[0, 0, 0, 3, 0, 0], [0, 0, 0, -14, 0, 0]], np.float32))[:, 2].tolist() == [2, 3]
    assert one.nearest(one.vectors([2, 0, 1])).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([[0, 0, 0]], r"actions were int64 of shape \(1, 3\); give whole numbers"),
        ([[0.0, 0, 0, 0]], r"actions were float64 of shape \(1, 4\)"),
        ([[3, 0, 0, 0]], r"actions were \[\[3, 0, 0, 0\]\]; each must be one of MultiDiscrete"),
        ([[0, -1, 0, 0]], r"counted from 0"),
    ],
)
def test_wrong_actions(actions: Any, message: str) -> None:
    with pytest.raises(ControlError, match=message):
        FlatActions(SPEC).vectors(actions)


def test_options_are_described() -> None:
    assert FlatActions(SPEC, (ONE,)).describe({"a": "go left"}) == [["rest", "go left", "d + left click"]]
    assert FlatActions(SPEC).describe({"mouse.dx": "turn"})[2] == ["rest", "turn -2", "turn +2", "turn -8", "turn +8"]


def test_keys_held_together() -> None:
    pygame = pytest.importorskip("pygame")
    keys = FlatActions(SPEC).keys()
    assert keys[pygame.K_a,] == (1, 0, 0, 0) and keys[tuple(sorted((pygame.K_d, pygame.K_e)))] == (2, 1, 0, 0)
    assert keys[pygame.K_RIGHT,] == (0, 0, 2, 0) and keys[pygame.K_SPACE,] == (0, 0, 0, 1)
