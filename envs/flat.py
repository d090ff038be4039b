"""A discrete view of the controls, for agents that choose among a few options."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games import Axes
from worldsim.errors import ControlError

# What a keyboard offers for controls that are not keys: pygame's names.
TURN_KEYS = (("LEFT", "RIGHT"), ("UP", "DOWN"))
BUTTON_KEYS = {"left": "SPACE", "middle": "TAB", "right": "RETURN"}
TOGETHER = 4  # axes held at once, at most, in `keys`


class FlatActions:
    """One option is chosen on each axis, and the chosen options are held together.

    Args:
        spec: what the game listens to.
        axes: options of each axis; the first is rest. By default every group of exclusive keys, every other key, every
            direction of the mouse (still, then an eighth and a half of its limit either way) and every button is an axis.

    Attributes:
        space: Discrete if there is one axis, otherwise MultiDiscrete.
    """

    def __init__(self, spec: ControlSpec, axes: Axes = ()) -> None:
        self.axes = axes or _axes(spec)
        sizes = [len(axis) for axis in self.axes]
        self.space: spaces.Discrete | spaces.MultiDiscrete
        self.space = spaces.Discrete(sizes[0]) if len(sizes) == 1 else spaces.MultiDiscrete(sizes)
        self._sizes = np.array(sizes)
        self._tables = [np.stack([spec.to_vector(option) for option in axis]) for axis in self.axes]

    def vectors(self, actions: Any) -> NDArray[np.float32]:
        """Actions `(B,)`, or `(B, axes)` where there are several -> control vectors `(B, A)`.

        Raises:
            ControlError: if they are not whole numbers of that shape, or out of range.
        """
        given = np.asarray(actions)
        chosen = given[:, None] if len(self._tables) == 1 and given.ndim == 1 else given
        if given.dtype.kind not in "iu" or chosen.shape[1:] != self._sizes.shape:
            raise ControlError(
                f"actions were {given.dtype} of shape {given.shape}; give whole numbers, each one of {self.space}, per world."
            )
        if (chosen < 0).any() or (chosen >= self._sizes).any():
            raise ControlError(f"actions were {given.tolist()}; each must be one of {self.space}, counted from 0.")
        return np.sum([table[column] for table, column in zip(self._tables, chosen.T, strict=True)], axis=0)

    def nearest(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Control vectors `(B, A)` -> the nearest actions, `(B,)` or `(B, axes)`."""
        chosen = []
        for table in self._tables:
            own = table.any(0)  # the controls that this axis decides
            chosen.append(np.abs(vectors[:, None, own] - table[:, own]).sum(-1).argmin(1))
        return np.stack(chosen, 1) if len(chosen) > 1 else chosen[0]

    def describe(self, meanings: Mapping[str, str]) -> list[list[str]]:
        """What the options of each axis do; `meanings` says what the controls do, by name."""
        return [[_describe(option, meanings) for option in axis] for axis in self.axes]

    def keys(self) -> dict[tuple[int, ...], tuple[int, ...]]:
        """Keys held (pygame codes, sorted) -> option of each axis. Turning is on the arrows, the left button on the space bar."""
        keyed: dict[tuple[int, ...], tuple[int, ...]] = {}
        for count in range(1, min(TOGETHER, len(self.axes)) + 1):
            for moved in itertools.combinations(range(len(self.axes)), count):
                for options in itertools.product(*(range(1, len(self.axes[axis])) for axis in moved)):
                    chosen = dict(zip(moved, options, strict=True))
                    codes = {code for axis, option in chosen.items() for code in _codes(self.axes[axis][option])}
                    keyed.setdefault(tuple(sorted(codes)), tuple(chosen.get(axis, 0) for axis in range(len(self.axes))))
        return keyed


def _axes(spec: ControlSpec) -> Axes:
    grouped = {key for group in spec.exclusive for key in group}
    keys = [*spec.exclusive, *((key,) for key in spec.keys if key not in grouped)]
    axes = [tuple(Controls(keys={key}) for key in group) for group in keys]
    for i, limit in enumerate(spec.mouse_limit):
        turns = [share * limit for share in (-0.125, 0.125, -0.5, 0.5) if limit]
        axes.append(tuple(Controls(mouse=(turn, 0) if i == 0 else (0, turn)) for turn in turns))
    axes += [(Controls(buttons={button}),) for button in spec.buttons]
    return tuple((Controls(), *axis) for axis in axes if axis) or ((Controls(),),)


def _describe(controls: Controls, meanings: Mapping[str, str]) -> str:
    parts = [meanings.get(key, key) for key in sorted(controls.keys)]
    moves = zip(("mouse.dx", "mouse.dy"), controls.mouse, strict=True)
    parts += [f"{meanings.get(axis, axis)} {motion:+g}" for axis, motion in moves if motion]
    parts += [meanings.get(f"mouse.{button}", f"{button} click") for button in sorted(controls.buttons)]
    return " + ".join(parts) or "rest"


def _codes(controls: Controls) -> set[int]:
    """pygame codes of the keys that stand for controls."""
    import pygame

    names = [name if len(name) == 1 else name.upper() for name in controls.keys]
    names += [BUTTON_KEYS[button] for button in controls.buttons]
    names += [pair[motion > 0] for pair, motion in zip(TURN_KEYS, controls.mouse, strict=True) if motion]
    return {getattr(pygame, f"K_{ {'SHIFT': 'LSHIFT', 'CTRL': 'LCTRL'}.get(name, name) }") for name in names}
