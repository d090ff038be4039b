"""A batch of dreams as agents see them: observations, clocks and ends. The caller decides when a dream restarts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.envs.games import GameSpec, find_game, known_game
from worldsim.envs.options import WorldOptions, horizon_steps
from worldsim.envs.view import View
from worldsim.errors import EnvError
from worldsim.world import World, WorldState
from worldsim.world.checks import check_seeds


class DreamState(NamedTuple):
    """All that the next frames of `R` dreams depend on, besides weights and options.

    Attributes:
        world: ring and noise.
        obs: observations `(R, ...)`.
        latent: of the last frames, `(R, h, w, C)`.
        age: steps since the start, int64 `(R,)`.
        over: bool `(R,)`.
    """

    world: WorldState
    obs: Tensor
    latent: Tensor
    age: NDArray[np.int64]
    over: NDArray[np.bool_]


class Dreams:
    """A `World` with a view, a clock and a horizon.

    Args:
        world: name, folder, Hub id, or a loaded `World` of that batch.
        batch: dreams, `B`.
        view: options of `View`: `obs`, `obs_size`, `actions`, `stack`.
        horizon: steps until truncation; None for never, "game" for what the real game does.
        options: of the world, where it is not loaded.
        game: that the world was learned from, for its flat actions and horizon; by default found by its name.

    Raises:
        EnvError: if an option is out of range.
        GameError: if a game is given, and there is none.
        WorldError: if there is no such world, or not enough memory.
    """

    def __init__(
        self,
        world: str | Path | World,
        batch: int,
        view: dict[str, Any],
        horizon: int | str | None,
        options: WorldOptions,
        game: str | GameSpec | None = None,
    ) -> None:
        self.world = options.open(world, batch)
        config = self.world.config
        size, latent = (config.height, config.width), int(np.prod(self.world.latent_shape))
        self.batch = batch
        spec = known_game(config.game) if game is None else find_game(game)
        self.view = View(config.control_spec, size, latent, *(spec.axes, spec.meanings) if spec else (), **view)
        self.horizon = horizon_steps(horizon, spec, config.frame_skip)
        self.obs = torch.zeros(())
        self.latent = torch.zeros(())
        self.age = np.zeros(batch, np.int64)
        self.over = np.ones(batch, bool)

    def reset(
        self,
        rows: Sequence[int],
        seed: int | Sequence[int | None] | None,
        start: int | Sequence[int | None] | None,
    ) -> None:
        """Restarts some dreams; see `World.restart`. Their observations are in `obs`.

        Args:
            rows: which.
            seed: as for `World.restart`.
            start: a start context for all, or one for each of `rows`, None for one drawn from the seed.
        """
        if isinstance(start, Sequence):
            seeds = check_seeds(seed, rows)
            pairs = zip(rows, seeds, start, strict=True)
            latent = torch.cat([self.world.restart([row], seed=[own], start=begin) for row, own, begin in pairs])
        else:
            latent = self.world.restart(rows, seed=seed, start=start)
        self._put(rows, self.view.first(self._see(latent)), latent)
        self.age[rows], self.over[rows] = 0, False

    def begin(self, rows: Sequence[int], seed: int | Sequence[int | None] | None, frames: NDArray[np.uint8]) -> None:
        """Restarts some dreams from frames `(T, H, W, 3)` of the caller's own; see `World.begin`."""
        latent = self.world.begin(frames, rows, seed=seed)
        self._put(rows, self.view.first(self._see(latent)), latent)
        self.age[rows], self.over[rows] = 0, False

    def step(
        self, vectors: NDArray[np.float32], active: NDArray[np.bool_]
    ) -> tuple[Tensor, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
        """Moves the active dreams on by one frame. Their observations are in `obs`; what the others show there is undefined.

        Args:
            vectors: control vectors `(B, A)`.
            active: bool `(B,)`; a dream that is not active gets no reward and does not end.

        Returns:
            Rewards, a float32 tensor `(B,)` on the world's device; and arrays `(B,)` of what was drawn from the end head, what
            reached the horizon, and the probability of an end.
        """
        self.latent, reward, end, probability = self.world.imagine(vectors, active)
        self.obs = self.view.next(self.obs, self._see(self.latent))
        self.age += active
        ends, chance = torch.stack([end.double(), probability.double()]).cpu().numpy()
        terminated = ends.astype(bool)
        truncated = active & (self.age >= self.horizon) if self.horizon is not None else np.zeros(self.batch, bool)
        self.over = terminated | truncated
        reward = torch.where(torch.from_numpy(active).to(reward.device), reward, 0.0)
        return reward, terminated, truncated, np.where(active, chance, 0.0)

    def frames(self) -> NDArray[np.uint8]:
        """The current frames, uint8 `(B, H, W, 3)`, as a copy."""
        return (self.obs[..., -3:] if self._shows_frames else self.world.decode(self.latent)).cpu().numpy().copy()

    def get_state(self, rows: Sequence[int]) -> DreamState:
        """Copies the state of some dreams."""
        rows = list(rows)
        return DreamState(self.world.get_state(rows), self.obs[rows], self.latent[rows], self.age[rows], self.over[rows])

    def set_state(self, state: DreamState, rows: Sequence[int], seed: int | Sequence[int | None] | None) -> None:
        """Puts states into dreams, one for each row or one for all of them; `seed` restarts their random numbers."""
        if state.obs.shape[1:] != self.view.observation_space.shape:
            raise EnvError(
                f"the state's observations are {tuple(state.obs.shape[1:])}, those here {self.view.observation_space.shape}; "
                "make both environments with the same obs, obs_size and stack."
            )
        self.world.set_state(state.world, rows, seed=seed)
        self._put(rows, state.obs.to(self.world.device), state.latent.to(self.world.device))
        self.age[rows], self.over[rows] = state.age, state.over

    @property
    def _shows_frames(self) -> bool:
        """Whether observations hold the frames as they are."""
        return not self.view.latent and self.view.obs_size is None

    def _see(self, latent: Tensor) -> Tensor:
        return self.view.flatten(latent) if self.view.latent else self.view.scale(self.world.decode(latent))

    def _put(self, rows: Sequence[int], obs: Tensor, latent: Tensor) -> None:
        """Replaces some rows in new tensors, because the old ones were handed out and must not change."""
        if not self.obs.ndim:
            self.obs, self.latent = (part.new_zeros(self.batch, *part.shape[1:]) for part in (obs, latent))
        self.obs, self.latent = self.obs.clone(), self.latent.clone()
        self.obs[rows], self.latent[rows] = obs, latent
