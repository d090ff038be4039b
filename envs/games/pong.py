"""Atari's Pong, as `worldsim new atari/pong --env ALE/Pong-v5` sees it: in frames whose ball is as bright as on the screen."""

from __future__ import annotations

from worldsim.controls import ControlSpec
from worldsim.envs.games import atari
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.spec import GameSpec

MAX_TICS = 16_000  # after which an episode is truncated: 4,000 frames
PICTURE = Picture(height=96, width=80, crop=(1, 0, 193, 160), resize="max")
CONTROLS = ControlSpec(keys=("w", "s"), exclusive=(("w", "s"),))
ACTIONS = Keyed({"": 0, "w": 2, "s": 3})  # ALE calls the paddle's ways right and left


def make_pong(*, render_mode: str | None = None, max_tics: int = MAX_TICS) -> Adapted:
    """Starts the game.

    Raises:
        GameError: if ale-py is not installed.
    """
    return atari.make_atari("Pong", PICTURE, CONTROLS, ACTIONS, render_mode=render_mode, max_tics=max_tics)


PONG = GameSpec(
    name="atari/pong",
    make="worldsim.envs.games.pong:make_pong",
    control_spec=CONTROLS,
    height=PICTURE.height,
    width=PICTURE.width,
    fps=atari.TICS_PER_SECOND / atari.FRAME_SKIP,
    frame_skip=atari.FRAME_SKIP,
    max_tics=MAX_TICS,
    options=("max_tics",),
    meanings={"w": "up", "s": "down"},
    states=atari.KNOWN["pong"].states,
    objects={name: (name,) for name in atari.KNOWN["pong"].sprites},
    player=atari.PLAYER,
    policies=atari.KNOWN["pong"].policies,
)
