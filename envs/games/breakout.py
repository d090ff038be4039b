"""Atari's Breakout, as `worldsim new atari/breakout --env ALE/Breakout-v5` sees it."""

from __future__ import annotations

from worldsim.controls import ControlSpec
from worldsim.envs.games.any import Keyed, Picture
from worldsim.envs.games.atari import atari_game

BREAKOUT = atari_game(
    "Breakout",
    Picture(height=96, width=80, crop=(4, 0, 196, 160), resize="max"),
    ControlSpec(keys=("space", "d", "a"), exclusive=(("space", "d", "a"),)),
    Keyed({"": 0, "space": 1, "d": 2, "a": 3}),
    max_tics=7_200,  # 1,800 frames
)
