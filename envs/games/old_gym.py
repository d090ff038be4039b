"""Environments of the old Gym, translated to Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from worldsim.errors import GameError


class OldGym(gymnasium.Env[Any, Any]):
    """An environment of the old Gym, whose `reset()` gives an observation alone and whose `step()` gives four values.

    `done` is an end, unless `info` says that time ran out: `TimeLimit.truncated` is true, or `discount` is above 0.

    Args:
        make: makes the environment. If it takes a `seed` and the environment has no method of that name, a new one is made
            for every episode with a seed.
        options: keywords of `make`.
    """

    def __init__(self, make: Callable[..., Any], **options: Any) -> None:
        self._make, self._options = make, options
        self._env: Any = make(**options)
        self.observation_space, self.action_space = modern(self._env.observation_space), modern(self._env.action_space)
        self.metadata = dict(getattr(self._env, "metadata", None) or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._env, name)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None and callable(getattr(self._env, "seed", None)):
            self._env.seed(seed)
        elif seed is not None:
            self._env = self._make(**self._options, seed=seed % 2**31)
        return self._env.reset(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, done, info = self._env.step(action)
        cut = bool(info.get("TimeLimit.truncated", info.get("discount", 0.0) > 0))
        return observation, float(reward), bool(done) and not cut, bool(done) and cut, dict(info)

    def render(self) -> Any:
        return self._env.render()

    def close(self) -> None:
        close = getattr(self._env, "close", None)
        if callable(close):
            close()


def modern(space: Any) -> gymnasium.Space[Any]:
    """A space of the old Gym, or of something that looks like one, as one of Gymnasium's.

    Raises:
        GameError: if it is neither a box nor discrete.
    """
    if isinstance(space, gymnasium.Space):
        return space
    if hasattr(space, "n"):
        return gymnasium.spaces.Discrete(int(space.n))
    if hasattr(space, "low") and hasattr(space, "high"):
        shape, dtype = tuple(map(int, space.shape)), np.dtype(space.dtype)
        low, high = (np.broadcast_to(np.asarray(bound, dtype), shape) for bound in (space.low, space.high))
        return gymnasium.spaces.Box(low, high, shape, dtype.type)
    raise GameError(f"the space {space} is of the old Gym, and neither Box nor Discrete; write a make() that translates it.")
