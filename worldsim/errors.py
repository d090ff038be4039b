"""Named exceptions. Each message says what was given, what is allowed and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorldsimError(ValueError):
    """Base of every error a user can cause."""


class ControlError(WorldsimError):
    """Controls that a world or game cannot take: unknown key, wrong shape, non-finite mouse."""


class DataError(WorldsimError):
    """A dataset that is missing, truncated or does not fit what was asked of it."""


class WorldError(WorldsimError):
    """A world folder that is missing, damaged, or newer than this code."""


class GameError(WorldsimError):
    """A real game that is unknown or not installed."""


class TrainingError(WorldsimError):
    """Training that cannot start, resume or go on (for example a NaN loss)."""


class DisplayError(WorldsimError):
    """No screen to open a window on."""


def suggest(given: str, allowed: Iterable[str]) -> str:
    """' Did you mean X?' for the allowed name nearest to `given`, or an empty string."""
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.4)
    return f" Did you mean {near[0]!r}?" if near else ""
