"""Clips for tests of what is written into them and read from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data.images import ClipWriter, save_png
from worldsim.provenance import MARKS, Claim, MarkOptions

CLAIM = Claim("doom/studio", "0123456789abcdef", 7, {"num_steps": 16, "guidance": 2.0}, 'a "red" room \u202e')
ENDINGS = (".mp4", ".png", ".gif")


def scenes(count: int, height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """Frames `(T, H, W, 3)` of blocks of colour, which move over a dark floor, with the noise of a texture."""
    rng = np.random.default_rng(seed)
    frames = np.full((count, height, width, 3), 40, np.uint8)
    frames[:, height // 2 :] = (70, 50, 30)
    frames += rng.integers(0, 12, (height, width, 3), np.uint8)
    for _ in range(12):
        y, x, h, w = rng.integers(height), rng.integers(width), rng.integers(4, 24), rng.integers(4, 24)
        colour, speed = rng.integers(0, 255, 3), rng.integers(-2, 3)
        for t, frame in enumerate(frames):
            left = (x + speed * t) % width
            frame[y : y + h, left : left + w] = colour
    return frames


def write(
    path: Path, frames: np.ndarray | None = None, claim: Claim | None = CLAIM, marks: MarkOptions = MARKS, scale: int = 1
) -> Path:
    frames = scenes(3) if frames is None else frames
    if path.suffix == ".png":
        save_png(path, frames[0], claim, marks)
        return path
    with ClipWriter(path, 10, scale, claim, marks) as clip:
        for frame in frames:
            clip.append(frame)
    return path
