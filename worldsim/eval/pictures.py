"""Real play above, the dream of it below: a contact sheet and a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.data.images import save_mp4, save_png

ZOOM = 2  # frames are small


def save_sheet(path: Path, real: NDArray[np.uint8], dream: NDArray[np.uint8], columns: list[int]) -> None:
    """Writes frames `columns` of clips `(B, T, H, W, 3)` as a PNG: per clip a row of real frames above a row of dreamed ones."""
    rows = [np.concatenate(list(clip[columns]), 1) for pair in zip(real, dream, strict=True) for clip in pair]
    save_png(path, _zoom(np.concatenate(rows, 0)))


def save_clip(path: Path, real: NDArray[np.uint8], dream: NDArray[np.uint8], fps: float) -> None:
    """Writes clips `(B, T, H, W, 3)` side by side as a video: real above, dreamed below."""
    both = np.concatenate([real, dream], 2)
    save_mp4(path, np.stack([_zoom(np.concatenate(list(both[:, t]), 1)) for t in range(both.shape[1])]), fps)


def _zoom(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture.repeat(ZOOM, 0).repeat(ZOOM, 1)
