"""A tiny real game that a tiny world learns in seconds: bricks fall where the player stood, who has to step aside."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec

SPEC = ControlSpec(keys=("a", "d"), exclusive=(("a", "d"),))
SIZE, LANES, LANE, FALL = 32, 4, 8, 6


class Dodge(gymnasium.Env[NDArray[np.uint8], Any]):
    """Four lanes; "a" and "d" change the lane. A brick falls in the lane the player had when it set out. Reward: 1 a step."""

    control_spec = SPEC
    fps = 10.0
    frame_skip = 1
    observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = SPEC.action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._lane = int(self.np_random.integers(LANES))
        self._brick, self._height = self._lane, 0
        return self._draw(), {"has_frame": True}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        left, right = SPEC.from_action(action)
        self._lane = int(np.clip(self._lane + int(right) - int(left), 0, LANES - 1))
        self._height += FALL
        terminated = self._height >= SIZE - LANE and self._brick == self._lane
        if self._height >= SIZE - LANE:
            self._brick, self._height = self._lane, 0
        return self._draw(), 1.0, terminated, False, {"has_frame": True}

    def _draw(self) -> NDArray[np.uint8]:
        frame = np.full((SIZE, SIZE, 3), 30, np.uint8)
        frame[self._height : self._height + LANE, self._brick * LANE : (self._brick + 1) * LANE] = (230, 60, 40)
        frame[SIZE - LANE :, self._lane * LANE : (self._lane + 1) * LANE] = (60, 120, 240)
        return frame
