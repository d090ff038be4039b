"""How an agent meets a game: its spaces, and what becomes of actions and frames on their way. Dreams and twins share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.flat import FlatActions
from worldsim.envs.games import Axes, GameSpec
from worldsim.envs.screen import Screen
from worldsim.errors import ControlError, EnvError, suggest

OBSERVATIONS, ACTIONS, RENDER_MODES = ("pixels", "latent"), ("native", "flat"), ("human", "rgb_array")
LATENT_LIMIT = 10.0  # latents have unit scale, so that this clips nothing but makes the space bounded


class View:
    """What an agent sees of a game, and how it acts in it.

    Args:
        spec: controls of the game.
        size: `(H, W)` of its frames.
        latent: numbers in the latent of a frame; 0 where there is no tokenizer.
        axes: of the flat view of the actions; see `FlatActions`.
        obs: "pixels", uint8 `(H, W, 3 * stack)`; or "latent", float32 `(stack * h * w * C,)`, the grid flattened.
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
        *,
        obs: str = "pixels",
        actions: str = "native",
        stack: int = 1,
    ) -> None:
        check_choice("obs", obs, OBSERVATIONS)
        check_choice("actions", actions, ACTIONS)
        if stack < 1:
            raise EnvError(f"stack was {stack}; give the number of frames to see at a time, at least 1.")
        if obs == "latent" and not latent:
            raise EnvError("obs='latent' needs a tokenizer; give the world whose tokenizer to use, as world=...")
        self.spec, self.stack, self.latent = spec, stack, obs == "latent"
        self.flat = FlatActions(spec, axes)
        self.is_flat = actions == "flat"
        self.observation_space = (
            spaces.Box(-LATENT_LIMIT, LATENT_LIMIT, (stack * latent,), np.float32)
            if self.latent
            else spaces.Box(0, 255, (*size, 3 * stack), np.uint8)
        )
        self.action_space: spaces.Space[Any] = self.flat.space if self.is_flat else spec.action_space()

    def vector(self, action: Any) -> NDArray[np.float32]:
        """An action of one agent, a `Controls` or, in the native view, a vector -> control vector `(A,)`."""
        if isinstance(action, Controls):
            return self.spec.to_vector(action)
        if self.is_flat:
            return self.vectors(_array(action)[None], 1)[0]
        if isinstance(action, Mapping):
            return self.vectors({name: _array(part)[None] for name, part in action.items()}, 1)[0]
        return self.spec.check_vector(action)

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


class ViewEnv(gymnasium.Env[NDArray[Any], Any], ABC):
    """What dreams and twins have in common as environments: spaces, rendering, and the order of calls.

    Args:
        view: of the agent.
        fps: of the game; `render_fps` is the whole number next to it.
        render_mode: None, "rgb_array", or "human" for a window.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 18}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, view: View, fps: float, render_mode: str | None) -> None:
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        self.view, self.control_spec, self.fps, self.render_mode = view, view.spec, fps, render_mode
        self.metadata = {**self.metadata, "render_fps": round(fps)}
        self.observation_space, self.action_space = view.observation_space, view.action_space
        self._over = True
        self._screen = Screen(round(fps)) if render_mode == "human" else None

    @abstractmethod
    def frame(self) -> NDArray[np.uint8]:
        """The current frame, uint8 `(H, W, 3)`, as a copy."""

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(H, W, 3)`; with "human" it is shown instead, as every step already does."""
        if self._screen is not None:
            self._screen.show(self.frame())
        return self.frame() if self.render_mode == "rgb_array" else None

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """For `gymnasium.utils.play`, which knows no mouse: turning is on the arrows, the left button on the space bar."""
        return self.view.keys_to_action()

    def close(self) -> None:
        if self._screen is not None:
            self._screen.close()

    def _check_running(self) -> None:
        if self._over:
            raise EnvError("the episode is over, or has not begun; call reset() before the next step().")


def flat_axes(game: GameSpec | None) -> Axes:
    """The axes of the flat actions that a game declares; none where its spec is unknown."""
    return game.axes if game else ()


def horizon_steps(horizon: int | str | None, game: GameSpec | None, frame_skip: int) -> int | None:
    """Steps after which an episode is truncated: as given, or "game" for what the game does (never, if it is unknown).

    Raises:
        EnvError: if it is neither.
    """
    if horizon == "game":
        return game.steps(frame_skip) if game else None
    if horizon is not None and (not isinstance(horizon, int) or horizon < 1):
        raise EnvError(f"horizon was {horizon!r}; give a number of steps of at least 1, None for no end, or 'game'.")
    return horizon


def check_choice(what: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise EnvError(f"{what} was {given!r}; allowed: {', '.join(allowed)}.{suggest(str(given), allowed)}")


def _array(value: Any) -> NDArray[Any]:
    """A number, array or tensor as an array of numbers."""
    array = value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ControlError(f"an action was {value!r}; give numbers.")
    return array
