"""Keyboard and mouse between two frames, kept so that no press is lost.

A key is known by its position on the keyboard, not by the letter printed on it: the keys named w, a, s and d
are where they are on a US keyboard, whatever the layout.
"""

from __future__ import annotations

from typing import Any

import pygame

from worldsim.controls import DIGITS, LETTERS, Controls, ControlSpec

DEGREES_PER_PIXEL = 0.15  # of mouse motion, as in Minecraft's recordings
ARROWS = {"up": "w", "down": "s", "left": "a", "right": "d"}
BUTTONS = {1: "left", 2: "middle", 3: "right"}  # as pygame counts them
POSITIONS: dict[int, str] = {
    **{getattr(pygame, f"KSCAN_{letter.upper()}"): letter for letter in LETTERS},
    **{getattr(pygame, f"KSCAN_{digit}"): digit for digit in DIGITS},
    **{getattr(pygame, f"KSCAN_{name.upper()}"): name for name in ("space", "return", "escape", "tab", "backspace")},
    **{getattr(pygame, f"KSCAN_{name.upper()}"): name for name in ("up", "down", "left", "right")},
    **{getattr(pygame, f"KSCAN_{side}{name.upper()}"): name for name in ("shift", "ctrl", "alt") for side in "LR"},
}  # SDL scancode -> our name of the key


class Latch:
    """Collects events until a frame takes them.

    A key pressed and released between two frames counts as held for the next one. Mouse motion beyond what one
    step may turn is carried over, up to one more step's worth.

    Args:
        spec: controls that count; arrow keys stand in for w, a, s, d where the game has no arrows.
        sensitivity: of the mouse; 1 turns 0.15 degrees per pixel.
    """

    def __init__(self, spec: ControlSpec, sensitivity: float = 1.0) -> None:
        self.spec, self.sensitivity = spec, sensitivity
        self._held: set[str] = set()
        self._tapped: set[str] = set()
        self._buttons: set[str] = set()
        self._clicked: set[str] = set()
        self._motion = [0.0, 0.0]

    def key(self, name: str, down: bool) -> bool:
        """A key went down or up; returns whether the game listens to it."""
        name = name if name in self.spec.keys else ARROWS.get(name, name)
        if name not in self.spec.keys:
            return False
        _update(self._held, self._tapped, name, down)
        return True

    def button(self, name: str, down: bool) -> None:
        """A mouse button went down or up."""
        if name in self.spec.buttons:
            _update(self._buttons, self._clicked, name, down)

    def move(self, dx: float, dy: float) -> None:
        """The mouse moved by so many pixels."""
        for axis, pixels in enumerate((dx, dy)):
            limit = self.spec.mouse_limit[axis]
            degrees = pixels * self.sensitivity * DEGREES_PER_PIXEL
            self._motion[axis] = _clip(self._motion[axis] + degrees, 2 * limit)

    def release(self) -> None:
        """Lets everything go, as when the window loses focus."""
        for held in (self._held, self._tapped, self._buttons, self._clicked):
            held.clear()
        self._motion = [0.0, 0.0]

    def take(self) -> Controls:
        """What counts for the next frame; taps and motion are used up."""
        mouse = tuple(_clip(motion, limit) for motion, limit in zip(self._motion, self.spec.mouse_limit, strict=True))
        controls = Controls(
            keys=frozenset(self._held | self._tapped),
            mouse=(mouse[0], mouse[1]),
            buttons=frozenset(self._buttons | self._clicked),
        )
        self._motion = [motion - used for motion, used in zip(self._motion, mouse, strict=True)]
        self._tapped.clear()
        self._clicked.clear()
        return controls


def layout_names() -> dict[str, str]:
    """Our name of a letter or digit key -> what the keyboard prints on it, such as "w" -> "z" on AZERTY.

    Needs an open window. A key that the layout gives no character is left out.
    """
    # pygame maps symbols to positions, and only inside this class; asked for every symbol, it gives the inverse.
    position: Any = pygame.key.ScancodeWrapper(tuple(range(512)))  # type: ignore[arg-type]
    names = {}
    for symbol in range(0x21, 0x2000):
        key = POSITIONS.get(int(position[symbol]))
        if key in LETTERS or key in DIGITS:
            names[key] = chr(symbol)
    return names


def _update(held: set[str], tapped: set[str], name: str, down: bool) -> None:
    if down:
        held.add(name)
        tapped.add(name)
    else:
        held.discard(name)


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
