"""The real game with the spaces, rewards and ends of a dream, so that an agent moves from one to the other unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.envs.games import GAMES, Game, GameSpec, check_game, find_game, known_game
from worldsim.envs.options import WorldOptions, check_seed, horizon_steps
from worldsim.envs.view import RENDER_MODES, View, ViewEnv, check_render_mode
from worldsim.errors import EnvError, GameError, shown
from worldsim.world import World, WorldConfig, find_world, read_config

NEVER = 10**9  # tics


class TwinEnv(ViewEnv):
    """A real game with the interface of `DreamEnv`.

    Observation, action, reward and the meaning of the options are those of `DreamEnv`; rewards are the game's own, summed over
    the tics of a step. `terminated` comes from the game, `truncated` from the game or at the horizon.

    Info: that of the game, such as `tics`.

    Args:
        game: name, `GameSpec` or its import path, see `worldsim.envs.games.find_game`, by default the world's; or an
            environment with the attributes `control_spec`, `fps` and `frame_skip`.
        world: name, folder or Hub id of the world whose twin this is, or a loaded `World`: it gives frame size, frame skip, and
            the tokenizer for `obs="latent"`. By default the game's own size and skip.
        obs, obs_size, actions, stack, render_mode: as for `DreamEnv`.
        horizon: steps until truncation; "game" for what the game's spec says, None for none besides the game's own.
        device, dtype: of the tokenizer.
        rewards, num_steps, temperature, context_level, compiled, runtime: options of dreams, accepted so that the same
            options make a dream or its twin. They are checked and have no effect.

    Raises:
        EnvError: if an option is out of range, or the game is not the world's.
        GameError: if the game is unknown, not installed, or shows and takes other things than its spec says.
        WorldError: if there is no such world.
    """

    def __init__(
        self,
        game: str | GameSpec | Game | None = None,
        *,
        world: str | Path | World | None = None,
        obs: str = "pixels",
        obs_size: Sequence[int] | None = None,
        actions: str = "native",
        stack: int = 1,
        horizon: int | str | None = "game",
        render_mode: str | None = None,
        rewards: bool = True,
        device: str = "auto",
        dtype: str = "auto",
        num_steps: int | None = None,
        temperature: float = 1.0,
        context_level: float | None = None,
        compiled: bool = False,
        runtime: str = "auto",
    ) -> None:
        check_render_mode(render_mode, RENDER_MODES)
        options = WorldOptions(device, dtype, num_steps, temperature, context_level, compiled, runtime)
        if game is None and world is None:
            raise EnvError(f"give a game or a world; games: {', '.join(GAMES)}.")
        config = world.config if isinstance(world, World) else None if world is None else read_config(find_world(world))
        declared, self.game = _open(game, config)
        spec = self.game.get_wrapper_attr("control_spec")
        height, width, _ = self.game.observation_space.shape  # type: ignore[misc]
        size = (height, width)
        if config is not None:
            _check_fit(config, spec, size, self.game.get_wrapper_attr("frame_skip"))
        if obs == "latent" and isinstance(world, str | Path):
            world = options.open(world, 1)
        self.world = world if obs == "latent" and isinstance(world, World) else None
        latent = int(np.prod(self.world.latent_shape)) if self.world else 0
        known = (declared.axes, declared.meanings) if declared else ()
        view = View(spec, size, latent, *known, obs=obs, obs_size=obs_size, actions=actions, stack=stack)
        super().__init__(view, self.game.get_wrapper_attr("fps"), render_mode)
        self.frame_skip = self.game.get_wrapper_attr("frame_skip")
        self.horizon = horizon_steps(horizon, declared, self.frame_skip)
        self._frame = np.zeros((*size, 3), np.uint8)
        self._obs = torch.zeros(())
        self._age = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """Starts an episode; equal seeds give equal episodes under equal actions."""
        seed = check_seed(seed)
        super().reset(seed=seed)
        frame, info = self.game.reset(seed=seed, options=options)
        self._frame = np.array(frame)
        self._obs, self._age = self.view.first(self._see()), 0
        self._begin()
        return self._observation(), info

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Plays the tics of one step with the same controls held."""
        self._check_running()
        frame, reward, terminated, truncated, info = self.game.step(self.control_spec.to_action(self.view.vector(action)))
        self._frame = np.array(frame)  # a copy: some games draw into the same array
        self._obs = self.view.next(self._obs, self._see())
        self._age += 1
        truncated = bool(truncated) or (self.horizon is not None and self._age >= self.horizon)
        self._over = bool(terminated) or truncated
        return self._observation(), float(reward), bool(terminated), truncated, info

    def frame(self) -> NDArray[np.uint8]:
        return self._frame.copy()

    def close(self) -> None:
        super().close()
        self.game.close()

    def _see(self) -> torch.Tensor:
        """What the agent sees of the current frame, `(1, ...)`."""
        if self.world is not None:
            return self.view.flatten(self.world.encode(self._frame[None]))
        return self.view.scale(torch.from_numpy(self._frame[None]))

    def _observation(self) -> NDArray[Any]:
        if self._screen is not None:
            self.render()
        return self._obs[0].cpu().numpy().copy()


def _open(game: str | GameSpec | Game | None, config: WorldConfig | None) -> tuple[GameSpec | None, Game]:
    """The game given, or that of the world, and what is known of it."""
    if isinstance(game, str | GameSpec):
        spec = find_game(game)
        return spec, _start(spec, config)
    if game is not None:
        check_game(game)
        return known_game(config.game if config else None), game
    assert config is not None
    found = known_game(config.game)
    if found is None:
        raise GameError(
            f"the world {config.name!r} was learned from the game {config.game!r}, which is not registered; pass its GameSpec, "
            f"its file, such as game='pong/game.py', or 'module:attribute', or register() it.{_loaded_from(config)} "
            f"Registered games: {', '.join(GAMES)}."
        )
    return found, _start(found, config)


def _loaded_from(config: WorldConfig) -> str:
    """Where the world says that its game was, for people to decide whether they trust it."""
    return f" Its file was {shown(config.source)}; loading that runs it." if config.source else ""


def _start(game: GameSpec, config: WorldConfig | None) -> Game:
    """A game as the world saw it, which leaves truncation to the horizon if it can."""
    same: dict[str, Any] = {}
    if config is not None:
        same = {"frame_skip": config.frame_skip, "height": config.height, "width": config.width}
    if "max_tics" in game.options:
        same["max_tics"] = NEVER
    return game.start(**same)


def _check_fit(config: WorldConfig, spec: ControlSpec, size: tuple[int, int], frame_skip: int) -> None:
    """Raises `EnvError` unless the game is what the world was learned from."""
    own = {"controls": config.control_spec, "frames (H, W)": (config.height, config.width), "frame skip": config.frame_skip}
    for what, given in {"controls": spec, "frames (H, W)": size, "frame skip": frame_skip}.items():
        if given != own[what]:
            raise EnvError(
                f"{what} of the game are {given}, of the world {config.name!r} {own[what]}; give the world's own game."
            )
