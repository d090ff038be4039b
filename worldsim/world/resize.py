"""The same world with another number of rows."""

from __future__ import annotations

from worldsim.world.folder import world_hash
from worldsim.world.runtimes import openvino_found
from worldsim.world.runtimes.cache import graph_folder
from worldsim.world.world import World


def resized(world: World, batch: int) -> World:
    """Another world of the same networks, starts and settings, with so many rows. Weights and starts are shared; rows, random
    numbers and later changes of settings are not.

    Args:
        world: as it is.
        batch: rows, at least 1.

    Raises:
        WorldError: if they do not fit into memory.
    """
    other = World(
        world.config,
        world.tokenizer,
        world.dynamics,
        world.starts,
        world.start_controls,
        batch=batch,
        device=str(world.device),
        dtype=world.dtype,
        num_steps=world.num_steps,
        temperature=world.temperature,
        context_level=world.context_level,
        compiled=world.compiled,
        runtime=world.runtime.name,
        graphs=graph_folder(world_hash(world.folder)) if world.folder is not None and openvino_found() else None,
        words=world.words,
    )
    other._starts = world._starts  # with the rings it filled
    other.folder, other.has_own_starts = world.folder, world.has_own_starts
    return other
