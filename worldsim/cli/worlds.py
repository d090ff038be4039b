"""`worldsim worlds`."""

from __future__ import annotations

from pathlib import Path

from worldsim.cli.options import write_json


def worlds(*, json: Path | None = None) -> None:
    """Lists the worlds.

    Args:
        json: File for the table.
    """
    from worldsim.world.shelf import describe_world, format_worlds
    from worldsim.worlds import SHIPPED, shipped_worlds

    table = [describe_world(SHIPPED / name) for name in shipped_worlds()]
    print(format_worlds(table))
    write_json(json, {"worlds": table})
