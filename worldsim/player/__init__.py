"""The window in which a person plays a world."""

from __future__ import annotations

from worldsim.player.window import PlayConfig, main, play

__all__ = ["PlayConfig", "main", "play"]
