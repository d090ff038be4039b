"""Names of our environments for `gymnasium.make`. Importing `worldsim` registers them, and loads nothing heavy.

Gymnasium no longer finds the environments of other packages by itself: `import worldsim` first, or write the module before the
name, `gymnasium.make("worldsim:WorldSim/DoomTakeCover-v0")`.

For every world that ships there is its dream, `WorldSim/DoomTakeCover-v0`, and its real twin, `WorldSim/DoomTakeCover-Real-v0`.
Games without a world have a twin too. Any other world is `WorldSim/Dream-v0` and `WorldSim/Real-v0`, given its folder as `world`.

Dreams and twins end where the game ends an episode; `max_episode_steps` changes that, and -1 removes it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import gymnasium

from worldsim.envs.games import GAMES, GameSpec
from worldsim.worlds import SHIPPED, shipped_worlds

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
        config = json.loads((SHIPPED / name / "config.json").read_text())
        limits = _limits(GAMES.get(config["game"]), config["frame_skip"])
        _register(env_id(name), DREAM, VECTOR, **limits, world=name)
        _register(env_id(name, real=True), TWIN, **limits, world=name, horizon=None)
    for game, spec in GAMES.items():
        _register(env_id(game, real=True), TWIN, **_limits(spec, spec.frame_skip), game=game, horizon=None)


def _limits(game: GameSpec | None, frame_skip: int) -> dict[str, Any]:
    """What a Gymnasium spec says of a game."""
    return {"max_episode_steps": game.steps(frame_skip), "reward_threshold": game.solved} if game else {}


def _register(
    id: str,
    entry_point: str,
    vector_entry_point: str | None = None,
    max_episode_steps: int | None = None,
    reward_threshold: float | None = None,
    **kwargs: Any,
) -> None:
    if id not in gymnasium.registry:
        gymnasium.register(
            id,
            entry_point,
            vector_entry_point=vector_entry_point,
            max_episode_steps=max_episode_steps,
            reward_threshold=reward_threshold,
            kwargs=kwargs,
        )
