"""What dreams and twins share: spaces, the conversion of actions and frames, and rendering."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.flat import FlatActions
from worldsim.envs.games import Axes
from worldsim.envs.screen import Screen
from worldsim.errors import ControlError, EnvError, check_choice, check_int, shown

OBSERVATIONS, ACTIONS, RENDER_MODES = ("pixels", "latent"), ("native", "flat"), ("human", "rgb_array")
LATENT_LIMIT = 10.0  # latents have unit scale: this bounds the space and clips almost nothing


class View:
    """What an agent sees of a game, and how it acts in it.

    Args:
        spec: controls of the game.
        size: `(H, W)` of its frames.
        latent: numbers in the latent of a frame; 0 where there is no tokenizer.
        axes: of the flat actions; see `FlatActions`.
        meanings: what controls do, by name; see `GameSpec`.
        obs: "pixels", uint8 `(H, W, 3 * stack)`; or "latent", float32 `(stack * h * w * C,)`, the grid flattened.
        obs_size: `(H, W)` that pixels are scaled to; by default they are not.
        actions: "native", a dict (see `ControlSpec.action_space`); or "flat", Discrete or MultiDiscrete.
        stack: frames seen at a time, the newest last; an episode begins with its first frame repeated.

    Raises:
        EnvError: if there is no such view.
    """

    def __init__(
        self,
        spec: ControlSpec,
        size: tuple[int, int],
        latent: int,
        axes: Axes = (),
        meanings: Mapping[str, str] | None = None,
        *,
        obs: str = "pixels",
        obs_size: Sequence[int] | None = None,
        actions: str = "native",
        stack: int = 1,
    ) -> None:
        check_choice("obs", obs, OBSERVATIONS, EnvError)
        check_choice("actions", actions, ACTIONS, EnvError)
        self.stack = check_int("stack", stack, 1, error=EnvError)
        if obs == "latent" and not latent:
            raise EnvError("obs='latent' needs a tokenizer; give the world whose tokenizer to use, as world=...")
        self.spec, self.latent, self.meanings = spec, obs == "latent", dict(meanings or {})
        self.obs_size = _check_size(obs_size, self.latent)
        self.flat = FlatActions(spec, axes)
        self.is_flat = actions == "flat"
        self.observation_space = (
            spaces.Box(-LATENT_LIMIT, LATENT_LIMIT, (self.stack * latent,), np.float32)
            if self.latent
            else spaces.Box(0, 255, (*(self.obs_size or size), 3 * self.stack), np.uint8)
        )
        self.action_space: spaces.Space[Any] = self.flat.space if self.is_flat else spec.action_space()

    def vector(self, action: Any) -> NDArray[np.float32]:
        """An action of one agent -> control vector `(A,)`.

        Args:
            action: an element of the action space; a `Controls`; in the native view a vector; or the number 0, rest.

        Raises:
            ControlError: if it is none of these.
        """
        if isinstance(action, Controls):
            return self.spec.to_vector(action)
        if isinstance(action, int) and not isinstance(action, bool) and action == 0:
            return np.zeros(self.spec.size, np.float32)  # the default of `gymnasium.utils.play` for no key held
        if self.is_flat:
            return self.vectors(_array(action)[None], 1)[0]
        if isinstance(action, Mapping):
            return self.vectors({name: _array(part)[None] for name, part in action.items()}, 1)[0]
        vector = _array(action)
        if vector.shape != (self.spec.size,):
            raise ControlError(
                f"the action was {shown(action)}; give {self.action_space}, or a vector of {self.spec.size} numbers: "
                f"{', '.join(self.spec.names)}."
            )
        return self.spec.check_vector(vector)

    def vectors(self, actions: Any, batch: int) -> NDArray[np.float32]:
        """Actions of `batch` agents, arrays or tensors -> control vectors `(B, A)`.

        Raises:
            ControlError: if shape, type or range is wrong.
        """
        if self.is_flat:
            vectors = self.flat.vectors(_array(actions))
        else:
            parts = isinstance(actions, Mapping)
            vectors = self.spec.from_action({name: _array(part) for name, part in actions.items()} if parts else actions)
        if vectors.shape != (batch, self.spec.size):
            raise ControlError(f"actions are for {vectors.shape[:-1]} worlds; give one for each of {batch}.")
        return vectors

    def flatten(self, latents: Tensor) -> Tensor:
        """Latents `(R, h, w, C)` -> what an agent sees of them, `(R, h * w * C)`."""
        return latents.flatten(1).clamp(-LATENT_LIMIT, LATENT_LIMIT)

    def scale(self, frames: Tensor) -> Tensor:
        """Frames, uint8 `(R, H, W, 3)` -> uint8 `(R, *obs_size, 3)`."""
        if self.obs_size is None:
            return frames
        images = frames.permute(0, 3, 1, 2).to(torch.float32)
        scaled = F.interpolate(images, self.obs_size, mode="bilinear", antialias=True)
        return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def first(self, seen: Tensor) -> Tensor:
        """Observation at an episode's start, of what is seen there."""
        return torch.tile(seen, (self.stack,))

    def next(self, before: Tensor, seen: Tensor) -> Tensor:
        """Observation that follows on `before`."""
        return seen if self.stack == 1 else torch.cat([before[..., seen.shape[-1] :], seen], -1)

    def keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """Keys held (pygame codes) -> action."""
        keyed: dict[tuple[int, ...], Any] = {}
        for codes, options in self.flat.keys().items():
            chosen = np.array(options if len(options) > 1 else options[0])
            vector = self.flat.vectors(chosen[None])[0]
            keyed[codes] = (chosen if chosen.ndim else int(chosen)) if self.is_flat else self.spec.to_action(vector)
        return keyed

    def action_meanings(self) -> list[Any]:
        """What the options of a Discrete space do, a list of them for each axis of a MultiDiscrete one; in the native view
        what each control does."""
        if not self.is_flat:
            return [self.meanings.get(name, name) for name in self.spec.names]
        meanings = self.flat.describe(self.meanings)
        return meanings if len(meanings) > 1 else meanings[0]


class ViewEnv(gymnasium.Env[NDArray[Any], Any], ABC):
    """Base of dreams and twins: spaces, rendering, and checks of the order of calls.

    Args:
        view: of the agent.
        fps: steps per second; `render_fps` is the nearest whole number.
        render_mode: None, "rgb_array", or "human" for a window. A window that the user closes stays closed; the environment
            goes on.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 18}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, view: View, fps: float, render_mode: str | None) -> None:
        check_render_mode(render_mode, RENDER_MODES)
        self.view, self.control_spec, self.fps, self.render_mode = view, view.spec, fps, render_mode
        self.metadata = {**self.metadata, "render_fps": round(fps)}
        self.observation_space, self.action_space = view.observation_space, view.action_space
        self._begun, self._over = False, True
        self._screen = Screen(round(fps)) if render_mode == "human" else None

    @abstractmethod
    def frame(self) -> NDArray[np.uint8]:
        """The current frame, uint8 `(H, W, 3)`, as a copy."""

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(H, W, 3)`; with "human" it is shown instead, as every step already does.

        Raises:
            EnvError: before the first `reset`.
            DisplayError: if no window can open.
        """
        if self.render_mode is None:
            return None
        if not self._begun:
            raise EnvError("render() before reset(); call reset(seed=...) first.")
        if self._screen is not None:
            self._screen.show(self.frame())
        return self.frame() if self.render_mode == "rgb_array" else None

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """For `gymnasium.utils.play`, which knows no mouse: turning is on the arrows, the left button on the space bar."""
        return self.view.keys_to_action()

    def get_action_meanings(self) -> list[Any]:
        """What the actions do; see `View.action_meanings`."""
        return self.view.action_meanings()

    def close(self) -> None:
        if self._screen is not None:
            self._screen.close()

    def _begin(self, over: bool = False) -> None:
        self._begun, self._over = True, over

    def _check_running(self) -> None:
        if self._over:
            raise EnvError("the episode is over, or has not begun; call reset() before the next step().")


def check_render_mode(render_mode: str | None, allowed: Sequence[str]) -> None:
    if render_mode is not None:
        check_choice("render_mode", render_mode, allowed, EnvError)


def _check_size(size: Sequence[int] | None, latent: bool) -> tuple[int, int] | None:
    if size is None:
        return None
    if latent:
        raise EnvError("obs_size scales pixels; leave it out with obs='latent'.")
    if not isinstance(size, Sequence | np.ndarray) or isinstance(size, str) or len(size) != 2:
        raise EnvError(f"obs_size was {shown(size)}; give (height, width) in pixels.")
    height, width = (check_int("obs_size", side, 1, error=EnvError) for side in size)
    return height, width


def _array(value: Any) -> NDArray[Any]:
    """A number, array or tensor as an array of numbers."""
    array = value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ControlError(f"an action was {shown(value)}; give numbers.")
    return array
