"""Worlds in a browser: a batched world with a clock, a seat in it for each player, and a web server.

Importing this loads neither PyTorch nor the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldsim.serve.config import ServeConfig

if TYPE_CHECKING:
    from worldsim.serve.capacity import Budget
    from worldsim.serve.engine import Engine, load_world
    from worldsim.serve.seat import Clip, Frame, Seat

_HOMES = {"Budget": "capacity", "Clip": "seat", "Engine": "engine", "Frame": "seat", "Seat": "seat", "load_world": "engine"}
__all__ = ["Budget", "Clip", "Engine", "Frame", "Seat", "ServeConfig", "load_world"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"worldsim.serve.{_HOMES[name]}"), name)
