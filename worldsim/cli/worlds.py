"""`worldsim worlds`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.errors import WorldError, printable


@dataclass(frozen=True)
class WorldsConfig:
    """What is done besides listing the worlds.

    Attributes:
        speed: measure frames/s of every world on this machine, a few seconds each; they are kept and listed
            from then on.
        clear_cache: delete the graphs that runtimes compiled on this machine.
    """

    speed: bool = False
    clear_cache: bool = False


DEFAULT = WorldsConfig()


def worlds(config: Annotated[WorldsConfig, FLAT] = DEFAULT, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Lists the worlds."""
    from worldsim.world.runtimes.cache import clear_cache
    from worldsim.world.shelf import describe_world, format_worlds, known_worlds, measure_speed

    if config.clear_cache:
        print(f"cleared {clear_cache() / 2**20:.0f} MiB of compiled graphs")
    table = []
    for name, place, folder in known_worlds(Path.cwd()):
        try:
            if config.speed:
                measure_speed(folder)
            table.append(describe_world(folder, name, place))
        except WorldError as error:
            print(f"worldsim: {printable(f'{name} is left out: {error}', 500)}", file=sys.stderr)
    print(format_worlds(table))
    output.write({"worlds": table})
