"""Real games behind the same observation and control spaces as the learned worlds.

>>> env = make("toy/dodge")
>>> frame, info = env.reset(seed=0)

A game of ours is one file here and one line below. A game of yours is a `GameSpec` anywhere: pass it, its import path
"module:attribute", or its file, wherever a game is asked for; or `register` it, and use its name. `worldsim new` writes the
file for any Gymnasium environment.
"""

from __future__ import annotations

from worldsim.envs.games.breakout import BREAKOUT
from worldsim.envs.games.car_racing import CAR_RACING
from worldsim.envs.games.crafter import CRAFTER
from worldsim.envs.games.dodge import DODGE
from worldsim.envs.games.doom import SPECS
from worldsim.envs.games.loading import source_hash
from worldsim.envs.games.policies import POLICIES, Policy, make_policy
from worldsim.envs.games.pong import PONG
from worldsim.envs.games.spec import (
    GAMES,
    Axes,
    Bar,
    Game,
    GameSpec,
    Mark,
    ObjectClass,
    beside,
    check_game,
    find_game,
    folder_of_game,
    is_path,
    known_game,
    make,
    recorded_game,
    register,
)
from worldsim.envs.games.studio import STUDIO

__all__ = [
    "GAMES",
    "POLICIES",
    "Axes",
    "Bar",
    "Game",
    "GameSpec",
    "Mark",
    "ObjectClass",
    "Policy",
    "beside",
    "check_game",
    "find_game",
    "folder_of_game",
    "is_path",
    "known_game",
    "make",
    "make_policy",
    "recorded_game",
    "register",
    "source_hash",
]

for spec in (*SPECS, STUDIO, PONG, BREAKOUT, CRAFTER, CAR_RACING, DODGE):
    register(spec)
