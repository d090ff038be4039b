"""Environments of the old Gym, translated to Gymnasium."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from worldsim.errors import GameError


class OldGym(gymnasium.Env[Any, Any]):
    """An environment of the old Gym, whose `reset()` gives an observation alone and whose `step()` gives four values. Those of
    its last versions, which speak Gymnasium's API already, are passed through.

    `done` is an end, unless `info` says that time ran out: `TimeLimit.truncated` is true, or `discount` is above 0.

    Args:
        make: makes the environment. Seeds go to its method `seed()`, else to its `reset()`, else to `make`, which then makes a
            new environment for every episode with a seed; where none of them takes a seed, episodes differ.
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
        given = {}
        if seed is not None and callable(getattr(self._env, "seed", None)):
            self._env.seed(seed)
        elif seed is not None and _takes_seed(self._env.reset):
            given = {"seed": seed}
        elif seed is not None and _takes_seed(self._make):
            self._env = self._make(**self._options, seed=seed % 2**31)
        begun = self._env.reset(**given)
        told = isinstance(begun, tuple) and len(begun) == 2 and isinstance(begun[1], dict)
        return begun if told else (begun, {})

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, *ends, info = self._env.step(action)
        if len(ends) == 2:
            return observation, float(reward), bool(ends[0]), bool(ends[1]), dict(info)
        done, cut = bool(ends[0]), bool(info.get("TimeLimit.truncated", info.get("discount", 0.0) > 0))
        return observation, float(reward), done and not cut, done and cut, dict(info)

    def render(self) -> Any:
        return self._env.render()

    def close(self) -> None:
        close = getattr(self._env, "close", None)
        if callable(close):
            close()


def _takes_seed(function: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except ValueError:  # some built-in functions tell no signature
        return False


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
