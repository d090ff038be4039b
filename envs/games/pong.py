"""Atari's Pong, as `worldsim new atari/pong --env ALE/Pong-v5` sees it: in frames whose ball is as bright as on the screen."""

from __future__ import annotations

from worldsim.controls import ControlSpec
from worldsim.envs.games.any import Keyed, Picture
from worldsim.envs.games.atari import atari_game

PONG = atari_game(
    "Pong",
    Picture(height=96, width=80, crop=(1, 0, 193, 160), resize="max"),
    ControlSpec(keys=("w", "s"), exclusive=(("w", "s"),)),
    Keyed({"": 0, "w": 2, "s": 3}),  # ALE calls the paddle's ways right and left
    max_tics=16_000,  # 4,000 frames
)
