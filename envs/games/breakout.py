"""Atari's Breakout, as `worldsim new atari/breakout --env ALE/Breakout-v5` sees it."""

from __future__ import annotations

from worldsim.controls import ControlSpec
from worldsim.envs.games import atari
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.spec import GameSpec

MAX_TICS = 7200  # after which an episode is truncated: 1,800 frames
PICTURE = Picture(height=96, width=80, crop=(4, 0, 196, 160), resize="max")
CONTROLS = ControlSpec(keys=("space", "d", "a"), exclusive=(("space", "d", "a"),))
ACTIONS = Keyed({"": 0, "space": 1, "d": 2, "a": 3})


def make_breakout(*, render_mode: str | None = None, max_tics: int = MAX_TICS) -> Adapted:
    """Starts the game.

    Raises:
        GameError: if ale-py is not installed.
    """
    return atari.make_atari("Breakout", PICTURE, CONTROLS, ACTIONS, render_mode=render_mode, max_tics=max_tics)


BREAKOUT = GameSpec(
    name="atari/breakout",
    make="worldsim.envs.games.breakout:make_breakout",
    control_spec=CONTROLS,
    height=PICTURE.height,
    width=PICTURE.width,
    fps=atari.TICS_PER_SECOND / atari.FRAME_SKIP,
    frame_skip=atari.FRAME_SKIP,
    max_tics=MAX_TICS,
    options=("max_tics",),
    meanings={"space": "serve", "d": "right", "a": "left"},
    states=atari.KNOWN["breakout"].states,
    objects={name: (name,) for name in atari.KNOWN["breakout"].sprites},
    player=atari.PLAYER,
    policies=atari.KNOWN["breakout"].policies,
)
