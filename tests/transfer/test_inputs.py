"""What policies are given: latents, how they changed, and the last decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldsim.transfer.inputs import ACTION_SCALE, REPEATS, History, input_space, policy_inputs


def decisions(inputs: NDArray[Any], choices: int) -> list[tuple[int, int]]:
    """For each axis the choice, counted over all axes, and the range of how many times in a row it was made."""
    found = inputs[-choices * (len(REPEATS) + 1) :].reshape(choices, -1)
    assert set(found.ravel()) <= {0.0, ACTION_SCALE}
    return [(int(choice), int(repeats)) for choice, repeats in np.argwhere(found)]


def test_repeats_are_given_as_ranges() -> None:
    space, latents = spaces.Discrete(3), np.zeros((1, 4), np.float32)
    history, ranges = History.start(latents, space), []
    for _ in range(20):
        history = history.decided(latents, np.array([2]))
        ranges.append(decisions(policy_inputs(latents, history, space)[0], 3)[0][1])
    assert ranges == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 9, 10, 10, 10]


def test_axes_of_actions_are_kept_apart() -> None:
    space = spaces.MultiDiscrete([3, 2])
    now, before = np.ones((2, 4, 5), np.float32), np.full((2, 4, 5), 3, np.float32)
    history = History.start(before, space)
    for actions in ([[2, 1], [0, 1]], [[2, 0], [0, 1]]):
        history = history.decided(before, np.array(actions))
    inputs = policy_inputs(now, history, space)
    assert input_space(4 * 5, space).shape == inputs.shape[1:] == (40 + 55,)
    assert (inputs[:, :20] == 1).all() and (inputs[:, 20:40] == -2).all()
    assert decisions(inputs[0], 5) == [(2, 1), (3, 0)] and decisions(inputs[1], 5) == [(0, 1), (4, 1)]
    assert not policy_inputs(now, History.start(now, space), space)[:, 20:].any(), "an episode begins without a history"
