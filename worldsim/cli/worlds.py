"""`worldsim worlds`."""

from __future__ import annotations

from worldsim.cli.options import Json, write_json


def worlds(*, json: Json = None) -> None:
    """Lists the worlds."""
    from worldsim.world.shelf import describe_world, format_worlds
    from worldsim.worlds import SHIPPED, shipped_worlds

    table = [describe_world(SHIPPED / name) for name in shipped_worlds()]
    print(format_worlds(table))
    write_json(json, {"worlds": table})
