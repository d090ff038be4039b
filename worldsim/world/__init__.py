"""A world is a folder: config, tokenizer, dynamics, starts and a model card. `World` loads one and runs it."""

from __future__ import annotations

from worldsim.world.config import WorldConfig
from worldsim.world.folder import (
    FILES,
    export_world,
    find_world,
    load_world,
    read_config,
    world_hash,
    write_config,
)
from worldsim.world.state import Step, WorldState
from worldsim.world.world import World

__all__ = [
    "FILES",
    "Step",
    "World",
    "WorldConfig",
    "WorldState",
    "export_world",
    "find_world",
    "load_world",
    "read_config",
    "world_hash",
    "write_config",
]
