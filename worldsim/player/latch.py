"""Keyboard and mouse between two frames, kept so that no press is lost."""

from __future__ import annotations

from collections.abc import Iterable

from worldsim.controls import Controls, ControlSpec

DEGREES_PER_PIXEL = 0.15  # of mouse motion, as in Minecraft's recordings
ARROWS = {"up": "w", "down": "s", "left": "a", "right": "d"}


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
        name = self._own(name)
        if name not in self.spec.keys:
            return False
        _update(self._held, self._tapped, name, down)
        return True

    def button(self, name: str, down: bool) -> None:
        """A mouse button went down or up."""
        if name in self.spec.buttons:
            _update(self._buttons, self._clicked, name, down)

    def hold(self, keys: Iterable[str], buttons: Iterable[str]) -> None:
        """These keys and buttons are held from now on, and no others."""
        now = {self._own(name) for name in keys} & set(self.spec.keys)
        pressed = set(buttons) & set(self.spec.buttons)
        self._tapped |= now - self._held
        self._clicked |= pressed - self._buttons
        self._held, self._buttons = now, pressed

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

    def _own(self, name: str) -> str:
        """The key of the spec that a key stands for; its own name where there is none."""
        return name if name in self.spec.keys else ARROWS.get(name, name)

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


def _update(held: set[str], tapped: set[str], name: str, down: bool) -> None:
    if down:
        held.add(name)
        tapped.add(name)
    else:
        held.discard(name)


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
