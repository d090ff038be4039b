"""Gymnasium's CarRacing, seen from above and steered with the mouse; and a player that keeps to the road, more or less."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.any import Adapted, Lever, Picture, Stacked
from worldsim.envs.games.policies import StickyRandom
from worldsim.envs.games.spec import GameSpec
from worldsim.errors import GameError

FRAME_SKIP, TICS_PER_SECOND = 3, 50
MAX_TICS = 1002  # after which an episode is truncated: 334 frames
PICTURE = Picture(height=96, width=96, resize="area")
CONTROLS = ControlSpec(keys=("w", "s"), mouse_limit=(10.0, 0.0))
ACTIONS = Stacked(
    (Lever(0, -1, 1, "dx", limit=10), Lever(0, 0, 1, keys={"w": 1.0}), Lever(0, 0, 1, keys={"s": 1.0})), "float32", (3,)
)


class Driver:
    """Follows the grey road of CarRacing: steers with the mouse, gas on "w", brake on "s"."""

    def __init__(self, spec: ControlSpec) -> None:
        self.spec, self.random = spec, StickyRandom(spec)
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self.rng, self.left, self.wild, self.aside, self.pace = rng, 0, False, 0.0, 0.6
        self.before: NDArray[np.int64] | None = None
        self.random.reset(rng)

    def act(self, info: Mapping[str, Any]) -> NDArray[np.float32]:
        if not self.left:  # another mood: at random, or more or less beside the middle of the road, faster or slower
            self.left, self.wild = int(self.rng.integers(15, 60)), self.rng.random() < 0.2
            self.aside, self.pace = self.rng.normal(0, 3), self.rng.uniform(0.3, 0.8)
        self.left -= 1
        if self.wild:
            return self.random.act(dict(info))
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


def make_car_racing(*, render_mode: str | None = None, max_tics: int = MAX_TICS) -> Adapted:
    """Starts the game.

    Raises:
        GameError: if Box2D is not installed.
    """
    try:
        with warnings.catch_warnings():  # of which it gives some, and ends Python where they are errors
            warnings.simplefilter("ignore", DeprecationWarning)
            importlib.import_module("Box2D")
    except ImportError as error:
        raise GameError('CarRacing needs Box2D, which is not installed; pip install "worldsim-dit[box2d]".') from error
    given: dict[str, Any] = {"repeat": FRAME_SKIP, "max_tics": max_tics, "render_mode": render_mode}
    env = gymnasium.make("CarRacing-v3")
    return Adapted(env, PICTURE, CONTROLS, ACTIONS, fps=TICS_PER_SECOND / FRAME_SKIP, frame_skip=FRAME_SKIP, **given)


CAR_RACING = GameSpec(
    name="box2d/car-racing",
    make="worldsim.envs.games.car_racing:make_car_racing",
    control_spec=CONTROLS,
    height=PICTURE.height,
    width=PICTURE.width,
    fps=TICS_PER_SECOND / FRAME_SKIP,
    frame_skip=FRAME_SKIP,
    max_tics=MAX_TICS,
    options=("max_tics",),
    meanings={"w": "gas", "s": "brake", "mouse.dx": "steer"},
    policies={"worldsim.envs.games.car_racing:Driver": 1.0},
)
