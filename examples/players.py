"""Players of recordings that look at the frame: give one to `worldsim new` or `worldsim collect`.

worldsim new carracing --env CarRacing-v3 --policy examples/players.py:Driver
worldsim new crafter --env crafter:Env --old-gym --policy examples/players.py:Gatherer

A player takes the controls of the game. `reset` begins an episode; `act` gets the game's info, in which "frame" is what is seen
(uint8, H x W x 3), and returns a control vector. Where it plays well it also has to make mistakes: a world that has only seen
the middle of the road knows nothing of the grass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim import Controls, ControlSpec
from worldsim.envs.games.policies import StickyRandom


class Driver:
    """Follows the grey road of CarRacing: steers with the mouse, gas on "w", brake on "s"."""

    def __init__(self, spec: ControlSpec) -> None:
        self.spec, self.random = spec, StickyRandom(spec)
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self.rng, self.left, self.wild, self.aside, self.pace = rng, 0, False, 0.0, 0.6
        self.before: np.ndarray | None = None
        self.random.reset(rng)

    def act(self, info: dict[str, Any]) -> np.ndarray:
        if not self.left:  # another mood: at random, or more or less beside the middle of the road, faster or slower
            self.left, self.wild = int(self.rng.integers(15, 60)), self.rng.random() < 0.2
            self.aside, self.pace = self.rng.normal(0, 3), self.rng.uniform(0.3, 0.8)
        self.left -= 1
        if self.wild:
            return self.random.act(info)
        frame = info["frame"].astype(int)
        height, width = frame.shape[:2]
        stands = self.before is not None and np.abs(frame - self.before)[: round(0.85 * height)].mean() < 1
        self.before = frame
        ahead = frame[round(0.45 * height) : round(0.65 * height)]
        grey = (np.ptp(ahead, axis=2) < 20) & (ahead[..., 0] > 70) & (ahead[..., 0] < 140)
        columns = np.nonzero(grey)[1]
        middle = columns.mean() if len(columns) else width / 2
        turn = 0.5 * (middle - width / 2 + self.aside)
        gas = stands or self.rng.random() < self.pace * (1.0 if abs(turn) < 4 else 0.4)
        held = {"w"} if gas else {"s"} if abs(turn) > 8 and self.rng.random() < 0.3 else set()
        return self.spec.to_vector(Controls(keys=held, mouse=(float(turn), 0.0)))


class Gatherer:
    """Walks about in Crafter and works at whatever it faces: more is collected than at random."""

    def __init__(self, spec: ControlSpec) -> None:
        self.spec, self.random = spec, StickyRandom(spec)
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self.rng, self.left, self.key = rng, 0, "a"
        self.random.reset(rng)

    def act(self, info: dict[str, Any]) -> np.ndarray:
        if not self.left:
            works = self.key in ("w", "a", "s", "d") and self.rng.random() < 0.6
            self.key = "space" if works else str(self.rng.choice(["w", "a", "s", "d", "w", "a", "s", "d", "other"]))
            self.left = int(self.rng.integers(1, 7))
        self.left -= 1
        return self.random.act(info) if self.key == "other" else self.spec.to_vector(Controls(keys={self.key}))
