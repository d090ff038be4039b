"""Frames of videos and arrays from elsewhere, as RGB of the size wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from worldsim.data.format import MAX_FPS, MAX_SIDE, MIN_FPS
from worldsim.errors import DataError, printable, shown

# Name's ending -> the only format that is opened, so that no playlist or address in a file is followed.
FORMATS = {".mp4": "mp4", ".mov": "mov", ".m4v": "mp4", ".mkv": "matroska", ".webm": "matroska", ".avi": "avi"}


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: `height` and `width` in pixels, `fps` exactly."""

    height: int
    width: int
    fps: Fraction


def video_files(path: Path) -> list[Path]:
    """The videos at `path`: itself, or those in the folder and below, in order.

    Raises:
        DataError: if there are none.
    """
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in FORMATS) if path.is_dir() else [path]
    if not found or not path.exists():
        raise DataError(f"no video at {path}; give a file or a folder with files that end in {', '.join(FORMATS)}.")
    return found


def probe(path: Path) -> VideoInfo:
    """Size and rate of a video.

    Raises:
        DataError: if it cannot be opened, or they are out of range.
    """
    with _opened(path) as (_, stream):
        rate = stream.average_rate or Fraction(0)
        if not MIN_FPS <= rate <= MAX_FPS or not 0 < stream.height <= MAX_SIDE or not 0 < stream.width <= MAX_SIDE:
            raise DataError(f"{path} says {stream.width}x{stream.height} pixels at {float(rate):g} frames/s; it is damaged.")
        return VideoInfo(stream.height, stream.width, rate)


def video_frames(path: Path, height: int, width: int, start: float = 0.0) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video, uint8 RGB `(height, width, 3)`, from `start` seconds on; one at a time in
    memory.

    Raises:
        DataError: if it cannot be opened or decoded.
    """
    with _opened(path) as (container, stream):
        if start:
            assert stream.time_base is not None
            container.seek(int(start / stream.time_base), stream=stream)
        for image in container.decode(stream):
            if image.time is None or image.time >= start - 1e-4:
                yield _scaled(image, height, width)


def resized(frame: NDArray[Any], height: int, width: int) -> NDArray[np.uint8]:
    """Uint8 RGB `(h, w, 3)` -> `(height, width, 3)`; each new pixel is the average of those that it covers.

    Raises:
        DataError: if it is no frame.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise DataError(f"a frame was {frame.dtype} {frame.shape}; frames are uint8 (H, W, 3).")
    if frame.shape == (height, width, 3):
        return frame
    return _scaled(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"), height, width)


def pictures(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Images as other libraries store them -> uint8 `(T, H, W, 3)`: channels first or last, grey or RGB, 0 to
    1 or 0 to 255.

    Raises:
        DataError: if they are something else.
    """
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[-1] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
        raise DataError(f"the images have shape {array.shape}; give (T, H, W, C) or (T, C, H, W) with one or three channels.")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating) or not 0 <= array.min() <= array.max() <= 1:
            raise DataError(f"the images are {array.dtype}; they must be uint8, or floats from 0 to 1.")
        array = np.rint(array * 255).astype(np.uint8)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _scaled(image: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    if (image.height, image.width) != (height, width):
        image = image.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
    return image.to_ndarray(format="rgb24")  # type: ignore[return-value]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    kind = FORMATS.get(path.suffix.lower())
    if kind is None or not path.is_file():
        reason = "there is no such file" if kind else f"its name ends in none of {', '.join(FORMATS)}"
        raise DataError(f"{shown(str(path))} cannot be read: {reason}.")
    try:
        with av.open(os.path.abspath(path), format=kind, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            yield container, stream
    except (OSError, av.FFmpegError, IndexError) as error:
        raise DataError(f"{shown(str(path))} cannot be read: {printable(str(error), 200)}; it is damaged.") from error
