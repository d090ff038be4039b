"""The real game behind the spaces, rewards and ends of a dream, so that an agent goes from one to the other unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.envs import games
from worldsim.envs.view import View, ViewEnv, flat_axes, horizon_steps
from worldsim.errors import EnvError
from worldsim.world import World, find_world, read_config


class TwinEnv(ViewEnv):
    """A real game, seen and played as `DreamEnv` is.

    Observation, action, reward and the meaning of the options are those of `DreamEnv`; rewards are the game's own, summed over
    the tics of a step. `terminated` comes from the game, `truncated` at the horizon.

    Info: that of the game, such as `tics`.

    Args:
        game: one of `worldsim.envs.games.GAMES`; by default the world's.
        world: name, folder or Hub id of the world whose twin this is: it gives frame size, frame skip, and the tokenizer for
            `obs="latent"`. By default the game's own size and skip.
        obs, actions, stack, render_mode: as for `DreamEnv`.
        horizon: steps until truncation; "game" for what the game itself does, None for never.
        device: where the tokenizer runs.

    Raises:
        EnvError: if an option is out of range.
        GameError: if the game is unknown or not installed.
        WorldError: if there is no such world.
    """

    def __init__(
        self,
        game: str | None = None,
        *,
        world: str | Path | None = None,
        obs: str = "pixels",
        actions: str = "native",
        stack: int = 1,
        horizon: int | str | None = "game",
        render_mode: str | None = None,
        device: str = "auto",
    ) -> None:
        if game is None and world is None:
            raise EnvError(f"give a game or a world; games: {', '.join(games.GAMES)}.")
        config = None if world is None else read_config(find_world(world))
        same: dict[str, Any] = (
            {} if config is None else {"frame_skip": config.frame_skip, "height": config.height, "width": config.width}
        )
        name = game or (config.game if config else "")
        # The game cuts no episodes itself: its tics are the horizon's.
        self.game = games.make(name, max_tics=10**9, **same)
        settings = self.game.config
        if config is not None and config.control_spec != settings.control_spec:
            raise EnvError(f"world {config.name!r} listens to {config.control_spec}, the game to {settings.control_spec}.")
        self._world = World.load(world, device=device) if world is not None and obs == "latent" else None
        latent = int(np.prod(self._world.latent_shape)) if self._world else 0
        axes, size = flat_axes(name), (settings.height, settings.width)
        view = View(settings.control_spec, size, latent, axes, obs=obs, actions=actions, stack=stack)
        super().__init__(view, self.game.fps, render_mode)
        self.frame_skip, self.horizon = self.game.frame_skip, horizon_steps(horizon, name, self.game.frame_skip)
        self._frame = np.zeros((*size, 3), np.uint8)
        self._obs = torch.zeros(())
        self._age = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """Starts an episode; equal seeds give equal episodes under equal actions."""
        super().reset(seed=seed)
        self._frame, info = self.game.reset(seed=seed)
        self._obs, self._age, self._over = self.view.first(self._see()), 0, False
        return self._observation(), info

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Plays the tics of one step with the same controls held."""
        self._check_running()
        self._frame, reward, terminated, _, info = self.game.step(self.view.vector(action))
        self._obs = self.view.next(self._obs, self._see())
        self._age += 1
        truncated = self.horizon is not None and self._age >= self.horizon
        self._over = terminated or truncated
        return self._observation(), reward, terminated, truncated, info

    def frame(self) -> NDArray[np.uint8]:
        return self._frame.copy()

    def close(self) -> None:
        super().close()
        self.game.close()

    def _see(self) -> torch.Tensor:
        """What the agent sees of the current frame, `(1, ...)`."""
        if self._world is not None:
            return self.view.flatten(self._world.encode(self._frame[None]))
        return torch.from_numpy(self._frame[None])

    def _observation(self) -> NDArray[Any]:
        if self._screen is not None:
            self.render()
        return self._obs[0].cpu().numpy().copy()
