"""Clips as files, of the kind that the name says: a video, an animation, or all frames in one picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldsim.data.images import CLIP_ENDINGS, ClipWriter, save_png
from worldsim.errors import WorldsimError, check_int
from worldsim.files import check_writable
from worldsim.provenance import MARKS, Claim, MarkOptions
from worldsim.provenance.marking import Marker
from worldsim.studio.config import SCALES

LARGEST = 8192, 65_535  # pixels along a side of a clip, of a .png


class Append(Protocol):
    """Adds a frame, uint8 `(H, W, 3)`; see `ClipWriter.append`."""

    def __call__(self, frame: NDArray[np.uint8], generated: bool = True) -> None: ...


@contextmanager
def writing_clip(
    path: Path,
    size: tuple[int, int],
    *,
    fps: float,
    frames: int,
    scale: int = 1,
    claim: Claim | None = None,
    marks: MarkOptions = MARKS,
) -> Iterator[Append]:
    """Gives a function that adds a frame.

    An .mp4 and a .gif are written frame by frame; a .png shows the frames from left to right. The file appears
    when the block ends. After Ctrl-C it holds the frames so far; after an error there is none.

    >>> with writing_clip(Path("dream.mp4"), (80, 128), fps=17.5, frames=100) as append:
    ...     append(frame)

    Args:
        path: file that ends in .mp4, .gif or .png.
        size: `(H, W)` of a frame in pixels.
        fps: frames per second.
        frames: how many will come, at most.
        scale: every pixel becomes a square of so many.
        claim, marks: see `ClipWriter`.

    Raises:
        WorldsimError: if a number is out of range, or the picture would be too large.
        FileError: if the name ends otherwise, or no file can be written there.
    """
    check_clip(path, size, frames, scale)
    if path.suffix.lower() != ".png":
        with ClipWriter(path, fps, scale, claim, marks) as clip:
            yield clip.append
        return
    strip: list[NDArray[np.uint8]] = []
    stopped: KeyboardInterrupt | None = None
    marker = Marker(claim, marks)

    def append(frame: NDArray[np.uint8], generated: bool = True) -> None:
        strip.append(marker.frame(frame, generated))

    try:
        yield append
    except KeyboardInterrupt as stop:
        stopped = stop
    if strip:
        save_png(path, np.concatenate(strip, axis=1).repeat(scale, axis=0).repeat(scale, axis=1), claim, marks)
    if stopped is not None:
        raise stopped


def check_clip(path: Path, size: tuple[int, int], frames: int, scale: int) -> None:
    """Raises what `writing_clip` raises, before any work is done; see there."""
    check_writable(path, (*CLIP_ENDINGS, ".png"))
    check_int("frames", frames, 1)
    check_int("scale", scale, *SCALES)
    strip = path.suffix.lower() == ".png"
    height, width, most = size[0] * scale, size[1] * scale * (frames if strip else 1), LARGEST[strip]
    if max(height, width) > most:
        less = "a smaller scale, fewer frames, or a name that ends in .mp4 or .gif" if strip else "a smaller scale"
        raise WorldsimError(f"{path.name} would have {width}x{height} pixels, and at most {most} along a side; give {less}.")
