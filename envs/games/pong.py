"""Atari's Pong, as `worldsim new atari/pong --env ALE/Pong-v5` sees it: in frames whose ball is as bright as on the screen."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium

from worldsim.controls import ControlSpec
from worldsim.envs.games import atari
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.spec import GameSpec
from worldsim.errors import GameError

FRAME_SKIP, TICS_PER_SECOND = 4, 60
MAX_TICS = 16_000  # after which an episode is truncated: 4,000 frames
PICTURE = Picture(height=96, width=80, crop=(1, 0, 193, 160), resize="max")
CONTROLS = ControlSpec(keys=("w", "s"), exclusive=(("w", "s"),))
ACTIONS = Keyed({"": 0, "w": 2, "s": 3})  # ALE calls the paddle's ways right and left


def make_pong(*, render_mode: str | None = None, max_tics: int = MAX_TICS) -> Adapted:
    """Starts the game.

    Raises:
        GameError: if ale-py is not installed.
    """
    try:
        importlib.import_module("ale_py")
    except ImportError as error:
        raise GameError('Pong needs the ale-py package, which is not installed; pip install "worldsim-dit[atari]".') from error
    known: dict[str, Any] = {"states": atari.states, "objects": atari.objects, "max_tics": max_tics, "render_mode": render_mode}
    env = gymnasium.make("ale_py:ALE/Pong-v5", repeat_action_probability=0.0)
    return Adapted(env, PICTURE, CONTROLS, ACTIONS, fps=TICS_PER_SECOND / FRAME_SKIP, frame_skip=FRAME_SKIP, **known)


PONG = GameSpec(
    name="atari/pong",
    make="worldsim.envs.games.pong:make_pong",
    control_spec=CONTROLS,
    height=PICTURE.height,
    width=PICTURE.width,
    fps=TICS_PER_SECOND / FRAME_SKIP,
    frame_skip=FRAME_SKIP,
    max_tics=MAX_TICS,
    options=("max_tics",),
    meanings={"w": "up", "s": "down"},
    states=atari.KNOWN["pong"].states,
    objects={name: (name,) for name in atari.KNOWN["pong"].sprites},
    player=atari.PLAYER,
    policies=atari.KNOWN["pong"].policies,
)
