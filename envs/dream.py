"""A learned world as a Gymnasium environment, with the spaces of its real twin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls
from worldsim.world import World


class DreamEnv(gymnasium.Env[NDArray[np.uint8], Any]):
    """One world, imagined frame by frame.

    Observation: uint8 `(H, W, 3)` RGB.

    Action: an element of `action_space` (see `ControlSpec.action_space`), a `Controls`, or a control vector `(A,)`.

    Reward: what the world's reward head expects of the action.

    Episode end: `terminated` is drawn from the world's end head, `truncated` after `max_steps` frames. An ended dream may be
    dreamed on: the world has no engine that stops.

    Info: `has_frame` (always True) and `end_probability`.

    Args:
        world: name, folder or Hub id; or a loaded `World` of batch 1.
        render_mode: None or "rgb_array".
        max_steps: frames after which an episode is truncated; None for never.
        steps: network calls per frame; by default the world's own.
        device: "auto", "cpu" or "cuda".
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 18}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        world: str | Path | World,
        *,
        render_mode: str | None = None,
        max_steps: int | None = None,
        steps: int | None = None,
        device: str = "auto",
    ) -> None:
        self.world = world if isinstance(world, World) else World.load(world, device=device, steps=steps)
        config = self.world.config
        self.control_spec, self.fps, self.frame_skip = config.control_spec, config.fps, config.frame_skip
        self.metadata = {**self.metadata, "render_fps": round(self.fps)}
        self.render_mode, self.max_steps = render_mode, max_steps
        self.observation_space = gymnasium.spaces.Box(0, 255, (config.height, config.width, 3), np.uint8)
        self.action_space = self.control_spec.action_space()
        self._frame = np.zeros(self.observation_space.shape, np.uint8)
        self._age = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts from one of the world's start contexts, `options["start"]` or one drawn from the seed."""
        super().reset(seed=seed)
        chosen = seed if seed is not None else int(self.np_random.integers(2**31))
        self._frame = self.world.reset(seed=chosen, start=(options or {}).get("start")).frame[0]
        self._age = 0
        return self._frame.copy(), {"has_frame": True, "end_probability": 0.0}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Imagines the frame that the action leads to."""
        step = self.world.step(self._vector(action)[None])
        self._frame = step.frame[0]
        self._age += 1
        truncated = self.max_steps is not None and self._age >= self.max_steps
        info = {"has_frame": True, "end_probability": float(step.end_probability[0])}
        return self._frame.copy(), float(step.reward[0]), bool(step.terminated[0]), truncated, info

    def settle(self) -> None:
        """Finishes the work that the next step would start with; call it while idle."""
        self.world.settle()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(H, W, 3)`."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def _vector(self, action: Any) -> NDArray[np.float32]:
        if isinstance(action, Controls):
            return self.control_spec.to_vector(action)
        if isinstance(action, Mapping):
            return self.control_spec.from_action(action)
        return self.control_spec.check_vector(action)
