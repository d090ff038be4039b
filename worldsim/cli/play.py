"""`worldsim play` and `record`: worlds to look at."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Annotated, Any

from worldsim.cli.app import main
from worldsim.cli.options import FLAT, use_game
from worldsim.cli.serve import can_serve
from worldsim.player import PlayConfig
from worldsim.studio.config import RecordConfig

if TYPE_CHECKING:
    import gymnasium

PLAY = PlayConfig()


def play(config: Annotated[PlayConfig, FLAT] = PLAY) -> None:
    """Opens a window."""
    from worldsim.player import play as open_window

    if config.game is not None:
        use_game(config.game)
    open_window(config)


def play_main() -> None:
    """Entry point of `worldsim-play` and play.py: `worldsim play` with the same options; without any, and without a display,
    `worldsim serve`.
    """
    from worldsim.envs.screen import has_display

    given = sys.argv[1:]
    if given or not can_serve() or has_display():
        main(["play", *given])
        return
    print("there is no display to open a window on; play in a browser instead", flush=True)
    main(["serve"])


def record(config: Annotated[RecordConfig, FLAT]) -> None:
    """Saves a clip or a dataset; Ctrl-C keeps the frames made so far."""
    from worldsim.studio.record import record as run

    print(run(config, functools.partial(_watch, config)))


def _watch(config: RecordConfig, env: gymnasium.Env[Any, Any], episodes: int, frames: int) -> None:
    """Lets a person play in a window."""
    from worldsim.envs.games import known_game
    from worldsim.player.game import GameScene
    from worldsim.player.opening import play_scene
    from worldsim.studio.source import find_source

    source = find_source(config.source)
    game = source.spec or known_game(source.game)
    about = {"title": config.source, "fps": source.fps, "meanings": dict(game.meanings) if game else {}}
    scene = GameScene(env, source.control_spec, episodes=episodes, frames=frames, seed=config.seed, **about)  # type: ignore[arg-type]
    play_scene(scene, PlayConfig(zoom=config.scale, marks=config.marks))
