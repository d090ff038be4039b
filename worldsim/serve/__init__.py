"""One model, many players: a batched world with a clock, and a seat in it for each of them."""

from __future__ import annotations

from worldsim.serve.engine import Engine
from worldsim.serve.seat import Clip, Frame, Seat

__all__ = ["Clip", "Engine", "Frame", "Seat"]
