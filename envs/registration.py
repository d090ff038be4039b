"""Names of our environments for `gymnasium.make`. Importing `worldsim` registers them, and loads nothing heavy.

For every world that ships there is its dream, `WorldSim/DoomTakeCover-v0`, and its real twin, `WorldSim/DoomTakeCover-Real-v0`.
Games without a world have a twin too. Any other world is `WorldSim/Dream-v0` and `WorldSim/Real-v0`, given its folder as `world`.
"""

from __future__ import annotations

import re
from typing import Any

import gymnasium

from worldsim.envs.games import GAMES
from worldsim.worlds import shipped_worlds

DREAM, VECTOR, TWIN = "worldsim.envs.dream:DreamEnv", "worldsim.envs.vector:DreamVectorEnv", "worldsim.envs.twin:TwinEnv"


def env_id(name: str, *, real: bool = False) -> str:
    """ "doom/take-cover" -> "WorldSim/DoomTakeCover-v0", or "WorldSim/DoomTakeCover-Real-v0" for the real game."""
    words = "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", name))
    return f"WorldSim/{words}{'-Real' if real else ''}-v0"


def register_envs() -> None:
    """Registers a dream and a twin for every shipped world, and a twin for every other game."""
    _register("WorldSim/Dream-v0", DREAM, VECTOR, horizon="game")
    _register("WorldSim/Real-v0", TWIN)
    for name in shipped_worlds():
        _register(env_id(name), DREAM, VECTOR, world=name, horizon="game")
        _register(env_id(name, real=True), TWIN, world=name)
    for game in GAMES:
        _register(env_id(game, real=True), TWIN, game=game)


def _register(id: str, entry_point: str, vector_entry_point: str | None = None, **kwargs: Any) -> None:
    if id not in gymnasium.registry:
        gymnasium.register(id, entry_point, vector_entry_point=vector_entry_point, kwargs=kwargs)
