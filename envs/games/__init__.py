"""Real games behind the same observation and control spaces as the learned worlds.

>>> env = make("doom/take-cover")
>>> frame, info = env.reset(seed=0)
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from worldsim.envs.games.doom import (
    DEADLY_CORRIDOR,
    DEFEND_THE_CENTER,
    MY_WAY_HOME,
    TAKE_COVER,
    TAKE_COVER_STRIP,
    DoomConfig,
    DoomEnv,
)
from worldsim.envs.games.policies import POLICIES, Policy, make_policy
from worldsim.errors import GameError, suggest

__all__ = ["GAMES", "POLICIES", "DoomConfig", "DoomEnv", "Policy", "make", "make_policy"]

GAMES: dict[str, DoomConfig] = {
    "doom/take-cover": TAKE_COVER,
    "doom/take-cover-strip": TAKE_COVER_STRIP,
    "doom/my-way-home": MY_WAY_HOME,
    "doom/defend-the-center": DEFEND_THE_CENTER,
    "doom/deadly-corridor": DEADLY_CORRIDOR,
}


def make(name: str, *, render_mode: str | None = None, **overrides: Any) -> DoomEnv:
    """Starts a real game.

    Args:
        name: one of `GAMES`.
        render_mode: None or "rgb_array".
        overrides: fields of `DoomConfig` to change, such as `frame_skip=4` or `objects=True`.

    Raises:
        GameError: if the name or an override is unknown, or the game is not installed.
    """
    if name not in GAMES:
        raise GameError(f"unknown game {name!r}; choose from: {', '.join(GAMES)}.{suggest(name, GAMES)}")
    allowed = [field.name for field in fields(DoomConfig)]
    for option in overrides:
        if option not in allowed:
            raise GameError(f"unknown option {option!r} for {name}; choose from: {', '.join(allowed)}.{suggest(option, allowed)}")
    return DoomEnv(replace(GAMES[name], **overrides), render_mode=render_mode)
