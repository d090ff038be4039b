"""What can be played and recorded by one name: a world, a game, or any Gymnasium environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium

from worldsim.controls import ControlSpec
from worldsim.envs.games import GAMES, GameSpec, find_game, is_path
from worldsim.errors import GameError, shown
from worldsim.studio.config import RecordConfig
from worldsim.world import find_world, read_config
from worldsim.worlds import shipped_worlds

VERSIONED = re.compile(r"([\w.]+:)?[\w./-]+-v\d+", re.ASCII)


@dataclass(frozen=True)
class Source:
    """Something that can be played.

    Attributes:
        kind: what it is.
        name: as it was given.
        folder: of a world.
        spec: of a game.
        game: name for a dataset; None for that of the environment.
        control_spec: controls that it takes; None for an environment with actions of its own.
        fps: frames per second; 0 where only the environment knows.
        height, width: of a frame; 0 where only the environment knows.
    """

    kind: Literal["world", "game", "environment"]
    name: str
    folder: Path | None = None
    spec: GameSpec | None = None
    game: str | None = None
    control_spec: ControlSpec | None = None
    fps: float = 0.0
    height: int = 0
    width: int = 0

    def open(self, config: RecordConfig, **view: Any) -> gymnasium.Env[Any, Any]:
        """Makes the environment.

        Args:
            config: how a world runs.
            view: what a policy sees and how it acts, see `View`; for worlds.

        Raises:
            GameError: if the environment cannot be made.
        """
        if self.kind == "world":
            from worldsim.envs.dream import DreamEnv

            assert self.folder is not None
            how: dict[str, Any] = {"device": config.device, "num_steps": config.num_steps, "runtime": config.runtime}
            return DreamEnv(self.folder, horizon="game", rewards=False, **how, **view)
        if self.spec is not None:
            if not view:
                return self.spec.start()
            from worldsim.envs.twin import TwinEnv

            return TwinEnv(self.spec, **view)
        try:
            declared = gymnasium.spec(self.name)
            pixels = declared.id.startswith("WorldSim/")
            env = gymnasium.make(self.name, render_mode=None if pixels else "rgb_array", **(view if pixels else {}))
        except Exception as error:  # whatever a stranger's environment raises
            raise GameError(f"{shown(self.name)} cannot be made: {type(error).__name__}: {error}") from error
        return env


def find_source(name: str) -> Source:
    """What a name means: a world that ships or lies in a folder, then a game, an environment, and a world on the Hub.

    Raises:
        WorldError: if it is none of these.
    """
    if name in shipped_worlds() or (Path(name) / "config.json").is_file():
        return _world(name)
    if name in GAMES:
        return _game(name)
    if VERSIONED.fullmatch(name):
        return Source("environment", name)
    return _game(name) if is_path(name) else _world(name)


def _world(name: str) -> Source:
    folder = find_world(name)
    config = read_config(folder)
    about = {"game": config.game, "control_spec": config.control_spec, "fps": config.fps}
    return Source("world", name, folder, height=config.height, width=config.width, **about)  # type: ignore[arg-type]


def _game(name: str) -> Source:
    spec = find_game(name)
    about = {"game": spec.name, "control_spec": spec.control_spec, "fps": spec.fps}
    return Source("game", name, spec=spec, height=spec.height, width=spec.width, **about)  # type: ignore[arg-type]
