"""Random play in which every control is held for a while; the policies that aim at something build on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec

T = TypeVar("T")


class Policy(Protocol):
    """Chooses controls from the `info` of an environment."""

    def reset(self, rng: np.random.Generator) -> None:
        """Starts an episode; everything random from here on comes from `rng`."""

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        """Control vector `(A,)` for the next step."""


class Held(Generic[T]):
    """A random value that is kept for a random number of steps."""

    def __init__(self, draw: Callable[[np.random.Generator], T], steps: Callable[[np.random.Generator], int]) -> None:
        self._draw = draw
        self._steps = steps
        self._left = 0

    def next(self, rng: np.random.Generator) -> T:
        if self._left == 0:
            self._value = self._draw(rng)
            self._left = self._steps(rng)
        self._left -= 1
        return self._value


def geometric(hold: tuple[float, float]) -> Callable[[np.random.Generator], int]:
    """Durations around a log-uniform mean: taps and long holds are both common."""
    return lambda rng: int(rng.geometric(1 / math.exp(rng.uniform(math.log(hold[0]), math.log(hold[1])))))


class StickyRandom:
    """Every group of keys, the mouse and the buttons vary independently, each held for geometric durations.

    Args:
        spec: controls to give; at most one key of an `exclusive` group is held at a time.
        hold: range in steps of the mean duration of a hold.
        rest: chance that a group of exclusive keys rests; a free key is held half of the time.
    """

    def __init__(self, spec: ControlSpec, *, hold: tuple[float, float] = (2.0, 16.0), rest: float = 0.25) -> None:
        self.spec = spec
        self.hold = hold
        self.rest = rest
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self._rng = rng
        grouped = {key for group in self.spec.exclusive for key in group}
        groups = [*self.spec.exclusive, *((key,) for key in self.spec.keys if key not in grouped)]
        self._keys = [Held(self._key_drawer(group), self._duration()) for group in groups]
        self._mouse = [Held(self._turn_drawer(limit), self._duration()) for limit in self.spec.mouse_limit]
        self._buttons = [Held(lambda rng: float(rng.random() < 0.3), geometric((1.0, 4.0))) for _ in self.spec.buttons]

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        held = {held.next(self._rng) for held in self._keys}
        keys = [float(key in held) for key in self.spec.keys]
        mouse = [turn.next(self._rng) * self._rng.uniform(0.8, 1.2) for turn in self._mouse] if self.spec.has_mouse else []
        buttons = [button.next(self._rng) for button in self._buttons]
        return self.spec.check_vector(np.array([*keys, *mouse, *buttons]))

    def _duration(self) -> Callable[[np.random.Generator], int]:
        return geometric(self.hold)

    def _key_drawer(self, group: tuple[str, ...]) -> Callable[[np.random.Generator], str | None]:
        rest = self.rest if len(group) > 1 else 0.5
        return lambda rng: None if rng.random() < rest else group[rng.integers(len(group))]

    def _turn_drawer(self, limit: float) -> Callable[[np.random.Generator], float]:
        def draw(rng: np.random.Generator) -> float:
            """Still, slow or fast, in degrees per step."""
            return float(rng.choice([0, 0.2, 1], p=[0.3, 0.5, 0.2]) * rng.uniform(-limit, limit))

        return draw


class Sweeping(StickyRandom):
    """Goes to and fro: like `StickyRandom`, but a group of exclusive keys never holds the same key twice in a row, and
    durations are uniform.

    Args:
        spec, rest: as for `StickyRandom`; after a rest the key is another than before it.
        hold: shortest and longest duration in whole steps, at least 1.
    """

    def __init__(self, spec: ControlSpec, *, hold: tuple[float, float] = (16.0, 40.0), rest: float = 0.05) -> None:
        super().__init__(spec, hold=hold, rest=rest)

    def _duration(self) -> Callable[[np.random.Generator], int]:
        return lambda rng: int(rng.integers(int(self.hold[0]), int(self.hold[1]) + 1))

    def _key_drawer(self, group: tuple[str, ...]) -> Callable[[np.random.Generator], str | None]:
        if len(group) == 1:
            return super()._key_drawer(group)
        last: str | None = None

        def draw(rng: np.random.Generator) -> str | None:
            nonlocal last
            if rng.random() < self.rest:
                return None
            others = [key for key in group if key != last]
            last = others[rng.integers(len(others))]
            return last

        return draw


def unit(degrees: float) -> NDArray[np.float32]:
    angle = math.radians(degrees)
    return np.array([math.cos(angle), math.sin(angle)], np.float32)


def turn(start: float, end: float) -> float:
    """Smallest turn in degrees from one angle to another, counter-clockwise positive."""
    return (end - start + 180) % 360 - 180
