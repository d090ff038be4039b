"""`worldsim worlds`."""

from __future__ import annotations

from worldsim.cli.options import Json, write_json


def worlds(*, clear_cache: bool = False, json: Json = None) -> None:
    """Lists the worlds.

    Args:
        clear_cache: delete the graphs that runtimes compiled on this machine.
    """
    from worldsim.world.runtimes.cache import clear_cache as clear
    from worldsim.world.shelf import describe_world, format_worlds
    from worldsim.worlds import SHIPPED, shipped_worlds

    if clear_cache:
        print(f"cleared {clear() / 2**20:.0f} MiB of compiled graphs")
    table = [describe_world(SHIPPED / name) for name in shipped_worlds()]
    print(format_worlds(table))
    write_json(json, {"worlds": table})
