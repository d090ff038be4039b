"""Worlds that come with the package, as `<game>/<name>` folders beside this file."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parent
DEFAULT_WORLD = "doom/take-cover"


def shipped_worlds() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(path.parent.relative_to(SHIPPED).as_posix() for path in SHIPPED.glob("*/*/config.json"))
