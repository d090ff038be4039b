"""How well what is made joins what is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def changes(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean absolute change from each frame `(T, H, W, 3)` to the next, `(T - 1,)`, in grey levels."""
    moved = frames.astype(np.int16)
    return np.abs(np.diff(moved, axis=0)).mean((1, 2, 3))


def seams(given: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places t at which of the frames t and t + 1 one was given `(T,)` and the other was made."""
    return np.flatnonzero(given[1:] != given[:-1])


def seam_ratio(frames: NDArray[np.uint8], given: NDArray[np.bool_], usual: float) -> float:
    """The largest change across a seam, as a multiple of a usual change in grey levels."""
    at = seams(given)
    return float(changes(frames)[at].max() / max(usual, 1e-6)) if len(at) else 0.0


def crossfade(first: NDArray[np.uint8], second: NDArray[np.uint8], frames: int) -> NDArray[np.uint8]:
    """So many frames `(frames, H, W, 3)` that fade from one frame `(H, W, 3)` to another: a baseline of connecting."""
    share = np.linspace(0, 1, frames + 2)[1:-1, None, None, None]
    return np.rint((1 - share) * first + share * second).astype(np.uint8)
