from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from worldsim.envs.codec import codec_of
from worldsim.envs.games.infer.controls import wire
from worldsim.errors import EnvError


class Named(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)

    def __init__(self, space: spaces.Space[Any], names: list[str] | None = None) -> None:
        self.action_space, self.names = space, names

    def get_action_meanings(self) -> list[str] | None:
        return self.names


JOYSTICK = ["NOOP", "FIRE", "UP", "RIGHT", "UPRIGHTFIRE"]


def test_actions_are_the_keys_that_their_names_stand_for() -> None:
    codec = codec_of(Named(spaces.Discrete(5), JOYSTICK))
    held = [codec.spec.from_vector(codec.vector(action)).keys for action in range(5)]
    assert held == [set(), {"space"}, {"w"}, {"d"}, {"w", "d", "space"}]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=2),
        spaces.MultiBinary(3),
        spaces.MultiDiscrete([3, 2]),
        spaces.Box(-1, 1, (2,), np.float32),
        spaces.Box(np.array([-2, 0, 0], np.float32), np.array([2, 1, 1], np.float32)),
    ],
)
def test_controls_lead_back_to_the_action(space: spaces.Space[Any]) -> None:
    """What is recorded, held by a person, gives the action that was taken; between rest and the end of a key there is nothing."""
    env = Named(space)
    codec, wiring = codec_of(env), wire(env)
    space.seed(0)
    for _ in range(20):
        action = space.sample()
        if isinstance(space, spaces.Box):
            action = np.concatenate([action[:2], np.round(action[2:])]).astype(np.float32) if len(action) > 2 else action
        again = wiring.actions(codec.spec.from_vector(codec.vector(action)))
        assert np.allclose(again, action, atol=0.01) or _one_sided(space), (action, again)


def _one_sided(space: spaces.Space[Any]) -> bool:
    """Axes from 0 on have a key, which is held or not."""
    return isinstance(space, spaces.Box) and bool((space.low == 0).any())


def test_environments_in_a_vector_have_the_controls_of_one() -> None:
    many = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2)
    codec = codec_of(many)
    assert codec.vectors(np.array([1, 0]), 2).tolist() == [[0, 1], [1, 0]] and codec.spec.keys == ("a", "d")
    many.close()


def test_what_cannot_be_held_is_refused() -> None:
    for space in (spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Tuple([spaces.Discrete(2)])):
        with pytest.raises(EnvError, match="controls="):
            codec_of(Named(space))
