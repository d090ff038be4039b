"""Real play above, the dream of it below: a contact sheet and a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from worldsim.images import save_png

ZOOM = 2  # frames are small


def save_sheet(path: Path, real: NDArray[np.uint8], dream: NDArray[np.uint8], columns: list[int]) -> None:
    """Writes frames `columns` of clips `(B, T, H, W, 3)` as a PNG: per clip a row of real frames above a row of dreamed ones."""
    rows = [np.concatenate(list(clip[columns]), 1) for pair in zip(real, dream, strict=True) for clip in pair]
    save_png(path, _zoom(np.concatenate(rows, 0)))


def save_clip(path: Path, real: NDArray[np.uint8], dream: NDArray[np.uint8], fps: float) -> None:
    """Writes clips `(B, T, H, W, 3)` side by side as an H.264 video that every player shows: real above, dreamed below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    both = np.concatenate([real, dream], 2)
    with av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "16"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = ZOOM * both.shape[2], ZOOM * both.shape[3] * both.shape[0], "yuv420p"
        for t in range(both.shape[1]):
            picture = _zoom(np.concatenate(list(both[:, t]), 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    temporary.replace(path)


def _zoom(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture.repeat(ZOOM, 0).repeat(ZOOM, 1)
