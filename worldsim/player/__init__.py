"""The window in which a person plays a world. Importing this loads neither pygame nor PyTorch."""

from __future__ import annotations

import os

from worldsim.player.config import PlayConfig

__all__ = ["PlayConfig", "play"]

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


def play(config: PlayConfig) -> None:
    """Opens the window and plays, or replays, until it is closed; see `worldsim.player.opening.play`."""
    from worldsim.player.opening import play as open_window

    open_window(config)
