"""A learned world as a Gymnasium environment, with the spaces of its real twin."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.envs.dreams import Dreams, DreamState
from worldsim.envs.games import GameSpec
from worldsim.envs.options import WorldOptions, check_reset_options, check_rewards, check_seed
from worldsim.envs.view import RENDER_MODES, ViewEnv, check_render_mode
from worldsim.world import World


class DreamEnv(ViewEnv):
    """One world, generated frame by frame.

    Observation: uint8 `(H, W, 3 * stack)` RGB, or with `obs="latent"` float32 `(stack * h * w * C,)`, which costs no decoding.

    Action: an element of `action_space`, a `Controls`, or in the native view a control vector `(A,)`.

    Reward: the prediction of the world's reward head for the action.

    Episode end: `terminated` is drawn from the world's end head, `truncated` comes at the horizon only.

    Info: `has_frame` (always True) and `end_probability`.

    Args:
        world: name, folder or Hub id; or a loaded `World` of batch 1.
        obs: "pixels" or "latent".
        obs_size: `(H, W)` that pixels are scaled to; by default they are not. Convolutions for Atari, such as the CnnPolicy of
            Stable-Baselines3, need at least 36 rows and columns, which `doom/take-cover-strip` has not: give `(64, 64)`.
        actions: "native" (a dict of keys, mouse and buttons) or "flat" (Discrete or MultiDiscrete, as the game declares).
        stack: frames seen at a time, along the last axis.
        horizon: steps until truncation; None for never, "game" for what the real game does.
        render_mode: None, "human" or "rgb_array".
        rewards: whether a world without a reward head is refused.
        game: that the world was learned from, if it is no registered one; see `worldsim.envs.games.find_game`.
        device, dtype, num_steps, temperature, context_level, compiled, runtime: see `WorldOptions`; not for a loaded world.

    Raises:
        EnvError: if an option is out of range.
        WorldError: if there is no such world, or another environment uses it.
    """

    def __init__(
        self,
        world: str | Path | World,
        *,
        obs: str = "pixels",
        obs_size: Sequence[int] | None = None,
        actions: str = "native",
        stack: int = 1,
        horizon: int | str | None = None,
        render_mode: str | None = None,
        rewards: bool = True,
        game: str | GameSpec | None = None,
        device: str = "auto",
        dtype: str = "auto",
        num_steps: int | None = None,
        temperature: float = 1.0,
        context_level: float | None = None,
        compiled: bool = False,
        runtime: str = "auto",
    ) -> None:
        check_render_mode(render_mode, RENDER_MODES)
        view = {"obs": obs, "obs_size": obs_size, "actions": actions, "stack": stack}
        options = WorldOptions(device, dtype, num_steps, temperature, context_level, compiled, runtime)
        self._dreams = Dreams(world, 1, view, horizon, options, game)
        self.world = self._dreams.world
        self.world.claim(self)
        if rewards:
            check_rewards(self.world)
        if multiprocessing.parent_process() is not None:
            warn_of_processes(self.world.device)
        super().__init__(self._dreams.view, self.world.config.fps, render_mode)
        self.frame_skip = self.world.config.frame_skip

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """Starts from one of the world's start contexts, `options["start"]` or one drawn from the seed; or from
        `options["frames"]`, uint8 `(T, H, W, 3)`, a picture or a clip of the caller's own.
        """
        given, seed = check_reset_options(options, ["start", "frames"]), check_seed(seed)
        super().reset(seed=seed)
        if "frames" in given:
            self._dreams.begin([0], [seed], given["frames"])
        else:
            self._dreams.reset([0], [seed], given.get("start"))
        self._begin()
        return self._observation(), {"has_frame": True, "end_probability": 0.0}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Generates the next frame under an action."""
        self._check_running()
        reward, terminated, truncated, probability = self._dreams.step(self.view.vector(action)[None], np.ones(1, bool))
        self._over = bool(self._dreams.over[0])
        info = {"has_frame": True, "end_probability": float(probability[0])}
        return self._observation(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def settle(self) -> None:
        """Finishes the work that the next step would start with; call it while idle."""
        self.world.settle()

    def frame(self) -> NDArray[np.uint8]:
        return self._dreams.frames()[0]

    def get_state(self) -> DreamState:
        """A copy of all that the next frames depend on: ring, random numbers, clock. Setting it gives bit-equal frames on the
        same machine.

        The clock of the horizon is included. Wrappers have state of their own, such as the clock of `TimeLimit`, which is not.
        """
        return self._dreams.get_state([0])

    def set_state(self, state: DreamState) -> NDArray[Any]:
        """Continues from a state of this or another environment of the same world; returns its observation."""
        self._dreams.set_state(state, [0], None)
        self._begin(over=bool(state.over[0]))
        return self._dreams.obs[0].cpu().numpy().copy()

    def close(self) -> None:
        """Closes the window and releases the world, which other environments may then use."""
        super().close()
        self.world.release(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a copy or pickle, whose world is a copy too."""
        self.__dict__.update(state)
        self.world.claim(self)

    def _observation(self) -> NDArray[Any]:
        if self._screen is not None:
            self.render()
        return self._dreams.obs[0].cpu().numpy().copy()


def warn_of_processes(device: torch.device) -> None:
    """Warns where every process of a vector environment would hold a world of its own on one GPU."""
    if device.type == "cuda":
        warnings.warn(
            "a GPU world in a process of its own: every one of them loads the world again and they take turns on the GPU. "
            "gymnasium.make_vec(id, num_envs=N) without vectorization_mode runs all N in one batched call.",
            stacklevel=3,
        )
