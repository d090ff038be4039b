"""A small game in NumPy, which a small world learns in a minute: bricks fall where the player stood, who has to step aside."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.spec import GameSpec
from worldsim.errors import GameError

CONTROLS = ControlSpec(keys=("a", "d"), exclusive=(("a", "d"),))
HEIGHT, WIDTH, LANE = 32, 48, 8  # pixels; there are six lanes
FALL = 6  # pixels a step
FPS, MAX_TICS = 10.0, 200


class DodgeEnv(gymnasium.Env[NDArray[np.uint8], Any]):
    """Six lanes. A brick falls in the lane in which the player was when it set out.

    Observation: uint8 `(32, 48, 3)`, RGB.

    Action: an element of `action_space`: "a" and "d" change the lane by one.

    Reward: 1 a step.

    Episode end: `terminated` when a brick hits the player, `truncated` after `max_tics` steps.

    Info: `tics` (int), `has_frame` (True), `player` and `brick` (float, left edges in pixels), `height` (float, pixels
    that the brick has fallen), and `objects`: boxes `(name, x, y, width, height)` of the player and the brick.

    Args:
        render_mode: None or "rgb_array".
        max_tics: steps after which an episode is truncated.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(FPS)}  # noqa: RUF012 (Gymnasium's own convention)
    control_spec, fps, frame_skip = CONTROLS, FPS, 1
    observation_space = gymnasium.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    action_space = CONTROLS.action_space()

    def __init__(self, *, render_mode: str | None = None, max_tics: int = MAX_TICS) -> None:
        if render_mode not in (None, "rgb_array") or max_tics < 1:
            raise GameError(
                f"render_mode was {render_mode!r}, max_tics {max_tics}; give None or 'rgb_array', and at least 1 tic."
            )
        self.render_mode, self.max_tics = render_mode, max_tics
        self._player = self._brick = self._height = self._tics = 0
        self._over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; the seed decides the lane in which it begins."""
        super().reset(seed=seed)
        self._player = self._brick = int(self.np_random.integers(WIDTH // LANE))
        self._height = self._tics = 0
        self._over = False
        return self._draw(), self._info()

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Moves the player, then the brick."""
        if self._over:
            raise GameError("the episode is over, or has not begun; call reset() before the next step().")
        left, right = self.control_spec.from_action(action) >= 0.5
        self._player = min(max(self._player + int(right) - int(left), 0), WIDTH // LANE - 1)
        self._height += FALL
        self._tics += 1
        landed = self._height >= HEIGHT - LANE
        terminated = landed and self._brick == self._player
        if landed:
            self._brick, self._height = self._player, 0
        truncated = not terminated and self._tics >= self.max_tics
        self._over = terminated or truncated
        return self._draw(), 1.0, terminated, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(32, 48, 3)`."""
        return self._draw() if self.render_mode == "rgb_array" else None

    def _draw(self) -> NDArray[np.uint8]:
        frame = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
        for (_, x, y, width, height), colour in zip(self._boxes(), ((60, 120, 240), (230, 60, 40)), strict=True):
            frame[y : y + height, x : x + width] = colour
        return frame

    def _boxes(self) -> list[tuple[str, int, int, int, int]]:
        player, brick = self._player * LANE, self._brick * LANE
        return [("player", player, HEIGHT - LANE, LANE, LANE), ("brick", brick, self._height, LANE, LANE)]

    def _info(self) -> dict[str, Any]:
        player, brick = self._boxes()
        state = {"player": float(player[1]), "brick": float(brick[1]), "height": float(self._height)}
        return {"tics": self._tics, "has_frame": True, "objects": self._boxes(), **state}


DODGE = GameSpec(
    name="toy/dodge",
    make=DodgeEnv,
    control_spec=CONTROLS,
    height=HEIGHT,
    width=WIDTH,
    fps=FPS,
    max_tics=MAX_TICS,
    options=("max_tics",),
    axes=((Controls(), Controls(keys={"a"}), Controls(keys={"d"})),),
    meanings={"a": "left", "d": "right"},
    states=("player", "brick", "height"),
    cells={"player": float(LANE)},
    objects={"brick": ("brick",), "player": ("player",)},
    player="player",
    policies={"restless": 1.0},
    best_reward=1.0,
    solved=0.9 * MAX_TICS,
    symmetric=True,
)
