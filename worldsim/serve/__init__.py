"""One model, many players: a batched world with a clock, and a seat in it for each of them."""

from __future__ import annotations

from worldsim.serve.capacity import Budget
from worldsim.serve.engine import Engine, load_world
from worldsim.serve.seat import Clip, Frame, Seat

__all__ = ["Budget", "Clip", "Engine", "Frame", "Seat", "load_world"]
