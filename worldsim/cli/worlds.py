"""`worldsim worlds`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output


@dataclass(frozen=True)
class WorldsConfig:
    """What is done besides listing the worlds.

    Attributes:
        clear_cache: delete the graphs that runtimes compiled on this machine.
    """

    clear_cache: bool = False


DEFAULT = WorldsConfig()


def worlds(config: Annotated[WorldsConfig, FLAT] = DEFAULT, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Lists the worlds."""
    from worldsim.world.runtimes.cache import clear_cache
    from worldsim.world.shelf import describe_world, format_worlds
    from worldsim.worlds import SHIPPED, shipped_worlds

    if config.clear_cache:
        print(f"cleared {clear_cache() / 2**20:.0f} MiB of compiled graphs")
    table = [describe_world(SHIPPED / name) for name in shipped_worlds()]
    print(format_worlds(table))
    output.write({"worlds": table})
