"""A tiny real game for the data tests: a square that the keys move over a lit floor.

Run as a program it collects itself: `python moving_square.py OUT FRAMES PROCESSES`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data import DatasetInfo
from worldsim.data.collect import PolicySource, collect

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(10.0, 0.0), buttons=("left",))
SIZE = 32
EVAL_FRAMES = 40


def info(**changes: Any) -> DatasetInfo:
    fields: dict[str, Any] = {"game": "square", "control_spec": SPEC, "height": SIZE, "width": SIZE, "fps": 17.5}
    return DatasetInfo(**{**fields, **changes})


class MovingSquare(gymnasium.Env[NDArray[np.uint8], Any]):
    """ "d" moves the square right, "a" left; it ends at either edge. Reward: the new position."""

    control_spec = SPEC
    fps = 17.5
    frame_skip = 2
    observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = SPEC.action_space()

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay
        self._canvas = np.zeros((SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._x = int(self.np_random.integers(8, 20))
        self._steps = 0
        return self._draw(), self._info(True)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        time.sleep(self._delay)
        left, right = SPEC.from_action(action)[:2]
        self._x += int(right) - int(left)
        self._steps += 1
        terminated = not 0 < self._x < SIZE - 4
        return self._draw(), float(self._x), terminated, self._steps >= 60, self._info(not terminated)

    def _draw(self) -> NDArray[np.uint8]:
        self._canvas[:] = 60  # drawn into the same array every time, as many real games do
        self._canvas[12:20, max(self._x, 0) : self._x + 4] = (220, 40, 30)
        return self._canvas

    def _info(self, has_frame: bool) -> dict[str, Any]:
        return {"tics": 2 * self._steps, "has_frame": has_frame, "x": self._x}


class SlowSquare(MovingSquare):
    """Where the environment variable MARK names a folder, a file in it stands for every game that is open."""

    def __init__(self) -> None:
        super().__init__(delay=0.005)
        self._mark = Path(os.environ["MARK"], str(os.getpid())) if "MARK" in os.environ else None
        if self._mark is not None:
            self._mark.parent.mkdir(exist_ok=True)
            self._mark.touch()

    def close(self) -> None:
        if self._mark is not None:
            self._mark.unlink()


class BrokenSquare(MovingSquare):
    def step(self, action: Any) -> Any:
        raise RuntimeError("the square fell over")


class Unrewarding(MovingSquare):
    def step(self, action: Any) -> Any:
        frame, _, *rest = super().step(action)
        return frame, None, *rest


class Bare(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A game that does not say what it is."""

    def __init__(self) -> None:
        super().__init__(MovingSquare())

    def get_wrapper_attr(self, name: str) -> Any:
        raise AttributeError(name)


class Grey(MovingSquare):
    def reset(self, **options: Any) -> Any:
        frame, info = super().reset(**options)
        return frame[..., 0], info


class RandomKeys:
    def reset(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        return np.array([*self._rng.integers(2, size=2), self._rng.uniform(-20, 20), 0.0, 1.0], np.float32)


class GoRight:
    def reset(self, rng: np.random.Generator) -> None:
        pass

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        return np.array([0, 1, 0, 0, 0], np.float32)


POLICIES = (PolicySource("random", RandomKeys, 3.0), PolicySource("right", GoRight, 1.0))

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells make background jobs deaf to it
    out, frames, processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    options: dict[str, Any] = {"processes": processes, "state": ("x",), "progress": False}
    collect(SlowSquare, POLICIES, out, game="square", frames=frames, eval_frames=EVAL_FRAMES, **options)
