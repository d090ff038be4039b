"""Policies that fight, dodge or stand still: what a person does in a shooter besides walking about."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.envs.games.sticky import Held, StickyRandom, geometric


class Shooting:
    """Turns to the largest target in view and shoots when it stands before the gun; looks around when there is none.

    Targets are the boxes `(name, x, y, width, height)` in pixels of `info["targets"]`, or else of `info["objects"]`, and
    `info["frame"]` tells how wide the picture is; it does without where they are missing. Half of the time it moves while
    it aims.

    Args:
        spec: controls; it shoots with the left button or the key "space", and turns with mouse dx, where present.
        view: degrees that the picture is wide.
    """

    def __init__(self, spec: ControlSpec, *, view: float = 80.0) -> None:
        self.spec, self.view = spec, view
        self._random = StickyRandom(spec, hold=(4.0, 16.0))
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._random.reset(rng)
        self._aiming = Held(lambda rng: bool(rng.random() < 0.8), geometric((10.0, 40.0)))
        self._moving = Held(lambda rng: bool(rng.random() < 0.5), geometric((4.0, 24.0)))
        self._looking = Held(lambda rng: float(rng.choice([0, 3, 6]) * rng.choice([-1, 1])), geometric((4.0, 16.0)))

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        vector = self._random.act(info)
        aiming, moving, look = (held.next(self._rng) for held in (self._aiming, self._moving, self._looking))
        if not aiming:
            return vector
        if not moving:
            vector[: len(self.spec.keys)] = 0
        target, keys = self._target(info), self.spec.keys
        off = None if target is None else math.degrees(math.atan(2 * target * math.tan(math.radians(self.view / 2))))
        if self.spec.has_mouse:
            dx = look if off is None else float(np.clip(0.5 * off, -12, 12) + self._rng.normal(0, 0.5))
            vector[len(keys)] = np.clip(dx, -self.spec.mouse_limit[0], self.spec.mouse_limit[0])
        shoots = off is not None and abs(off) < 8 and self._rng.random() < 0.7
        if "space" in keys:
            vector[keys.index("space")] = float(shoots)
        if self.spec.buttons:
            vector[-len(self.spec.buttons)] = float(shoots)
        return self.spec.check_vector(vector)

    def _target(self, info: dict[str, Any]) -> float | None:
        """Where the largest target is, from -0.5 at the left edge of the picture to 0.5."""
        seen = info.get("targets", info.get("objects"))
        if not seen or "frame" not in info:
            return None
        _, x, _, width, _ = max(seen, key=lambda box: box[4])
        return float((x + width / 2) / info["frame"].shape[1] - 0.5)


class Strafing(StickyRandom):
    """Steps from side to side, with glances; rarely shoots and never walks far."""

    def __init__(self, spec: ControlSpec) -> None:
        super().__init__(spec, hold=(6.0, 20.0), rest=0.1)

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        vector = super().act(info)
        for key in ("w", "s", "space"):
            if key in self.spec.keys and self._rng.random() < 0.9:
                vector[self.spec.keys.index(key)] = 0
        if self.spec.has_mouse:
            vector[len(self.spec.keys) :][:2] *= 0.5
        return vector


class Standing(StickyRandom):
    """Stands still most of the time and watches; turns or takes a step now and then."""

    def __init__(self, spec: ControlSpec) -> None:
        super().__init__(spec, hold=(3.0, 12.0))

    def reset(self, rng: np.random.Generator) -> None:
        super().reset(rng)
        self._doing = Held(lambda rng: str(rng.choice(["stand", "turn", "step"], p=[0.5, 0.35, 0.15])), geometric((8.0, 40.0)))

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        vector, doing = super().act(info), self._doing.next(self._rng)
        keys = len(self.spec.keys)
        if doing != "step":
            vector[:keys] = 0
        if doing != "turn":
            vector[keys:] = 0
        return vector
