"""Actions of other libraries -> controls, by words.

A word names what is held: keys and motions joined by "+", such as "a", "up+left", "mouse.left" (a mouse
button) or "mouse.dx=10" (10 degrees to the right); "none" is nothing. A discrete action has one word for each
of its numbers; a vector has one for each of its entries, where a motion is degrees per unit of the entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import BUTTON_NAMES, DIGITS, KEY_NAMES, ControlSpec
from worldsim.errors import DataError, shown, suggest

HELD = 0.5  # an entry of a vector counts as pressed from here on
AXES = ("mouse.dx", "mouse.dy")
BUTTONS = tuple(f"mouse.{name}" for name in BUTTON_NAMES)


@dataclass(frozen=True)
class ActionMap:
    """Turns actions into vectors of a control spec.

    Attributes:
        spec: of the controls.
        table: float32 `(n, A)`: the vector of each discrete action, or what each entry of a vector adds.
        discrete: whether actions are numbers from 0 to n - 1, or vectors of n entries.
    """

    spec: ControlSpec
    table: NDArray[np.float32]
    discrete: bool

    def vectors(self, actions: NDArray[np.generic]) -> NDArray[np.float32]:
        """Actions `(T,)` or `(T, n)` -> vectors `(T, A)`.

        Raises:
            DataError: for an action that does not exist, or a vector of another length.
        """
        values, n = np.asarray(actions), len(self.table)
        if self.discrete:
            numbers = values.reshape(len(values), -1)
            if numbers.shape[1] != 1 or not np.isin(numbers, np.arange(n)).all():
                raise DataError(f"actions of shape {values.shape} hold others than the whole numbers from 0 to {n - 1}.")
            return self.table[numbers[:, 0].astype(np.int64)]
        numbers = values.reshape(len(values), -1).astype(np.float32)
        if numbers.shape[1] != n or not np.isfinite(numbers).all():
            raise DataError(f"actions of shape {values.shape} were given; each needs {n} finite numbers.")
        keys = np.array([name in KEY_NAMES or name in BUTTONS for name in self.spec.names])
        held = ((numbers >= HELD) @ self.table > 0).astype(np.float32)
        return np.where(keys, held, numbers @ self.table).astype(np.float32)


def discrete(words: Sequence[str]) -> ActionMap:
    """The map of discrete actions, one word for each.

    Raises:
        DataError: for a word that means nothing.
    """
    parts = [_parse(word) for word in words]
    spec = _spec(parts, [max((abs(part.get(axis, 0.0)) for part in parts), default=0.0) for axis in AXES])
    return ActionMap(spec, _table(parts, spec), True)


def continuous(words: Sequence[str], largest: NDArray[np.float32] | None = None) -> ActionMap:
    """The map of vectors, one word for each entry.

    Args:
        words: of the entries.
        largest: `(n,)`, the largest absolute value of each entry; 1 where it is unknown.

    Raises:
        DataError: for a word that means nothing.
    """
    parts = [_parse(word) for word in words]
    reach = np.ones(len(words)) if largest is None else np.where(np.isfinite(largest), largest, 1.0)
    limits = [float(sum(abs(part.get(axis, 0.0)) * r for part, r in zip(parts, reach, strict=True))) for axis in AXES]
    spec = _spec(parts, limits)
    return ActionMap(spec, _table(parts, spec), False)


def digits(count: int) -> tuple[str, ...]:
    """Words for discrete actions without names: 0 is nothing held, the others are number keys.

    Raises:
        DataError: if there are more than number keys.
    """
    if count > len(DIGITS):
        raise DataError(f"there are {count} actions; say what is held with each: --actions none a d a+space, and so on.")
    return ("none", *DIGITS[1:count])


def _parse(word: str) -> dict[str, float]:
    """What a word names, with its value."""
    if word == "none":
        return {}
    parts: dict[str, float] = {}
    for piece in word.split("+"):
        name, equals, value = piece.partition("=")
        known = AXES if equals else (*KEY_NAMES, *BUTTONS, *AXES)
        if name not in known:
            listed = "'none', names of keys, mouse.left, mouse.middle, mouse.right, mouse.dx=DEGREES and mouse.dy=DEGREES"
            raise DataError(f"actions has {shown(word)}; known are {listed}, joined by '+'.{suggest(name, known)}")
        try:
            parts[name] = float(value) if equals else 1.0
        except ValueError:
            parts[name] = math.nan
        if not math.isfinite(parts[name]):
            raise DataError(f"actions has {shown(word)}; after '=' give degrees, such as mouse.dx=10.")
    return parts


def _spec(parts: Sequence[dict[str, float]], limits: Sequence[float]) -> ControlSpec:
    names = list(dict.fromkeys(name for part in parts for name in part))
    buttons = tuple(name.removeprefix("mouse.") for name in names if name in BUTTONS)
    return ControlSpec(tuple(name for name in names if name in KEY_NAMES), (limits[0], limits[1]), buttons)


def _table(parts: Sequence[dict[str, float]], spec: ControlSpec) -> NDArray[np.float32]:
    table = np.zeros((len(parts), spec.size), np.float32)
    for i, part in enumerate(parts):
        for name, value in part.items():
            table[i, spec.names.index(name)] = value
    return table
