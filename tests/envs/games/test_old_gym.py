"""Environments of the old Gym, translated."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.envs.games.old_gym import OldGym, modern
from worldsim.errors import GameError


class Old:
    """The old Gym's API, seeded by its constructor."""

    class Spaces:
        def __init__(self, **fields: Any) -> None:
            self.__dict__.update(fields)

    def __init__(self, seed: int | None = None, length: int = 3) -> None:
        self.seeded, self.length, self.metadata = seed, length, None
        self.observation_space = self.Spaces(low=0, high=255, shape=(32, 32, 3), dtype=np.uint8)
        self.action_space = self.Spaces(n=4)
        self.action_names = ["noop", "left", "right", "do"]

    def reset(self) -> np.ndarray:
        self.t = 0
        return np.full((32, 32, 3), (self.seeded or 0) % 256, np.uint8)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
        self.t += 1
        return np.zeros((32, 32, 3), np.uint8), 0.5, self.t == self.length, {"discount": float(action == 3)}


def test_an_old_environment_is_translated() -> None:
    env = OldGym(Old)
    assert env.action_space == gymnasium.spaces.Discrete(4)
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    assert env.action_names == Old().action_names
    frame, info = env.reset(seed=7)
    assert frame[0, 0, 0] == 7 and info == {}
    assert env.step(0)[1:4] == (0.5, False, False)
    env.step(0)
    assert env.step(0)[2:4] == (True, False)
    env.reset()
    env.step(0), env.step(0)
    assert env.step(3)[2:4] == (False, True), "a discount above 0 says that time ran out"
    env.close()


class Late(Old):
    """The last versions of the old Gym had Gymnasium's API."""

    def reset(self, *, seed: int | None = None) -> Any:  # type: ignore[override]
        self.seeded = seed
        return super().reset(), {"begun": True}

    def step(self, action: int) -> Any:
        frame, reward, done, info = super().step(action)
        return frame, reward, done, action == 3, info


def test_late_versions_of_the_old_gym_are_passed_through() -> None:
    env = OldGym(Late)
    frame, info = env.reset(seed=7)
    assert frame[0, 0, 0] == 7 and info == {"begun": True}
    assert env.step(0)[1:4] == (0.5, False, False) and env.step(3)[2:4] == (False, True)


def test_an_environment_that_takes_no_seed_is_played_all_the_same() -> None:
    env = OldGym(lambda: Old(length=2))
    assert env.reset(seed=7)[0][0, 0, 0] == 0


def test_other_old_spaces_are_refused() -> None:
    with pytest.raises(GameError, match="old Gym"):
        modern(object())
