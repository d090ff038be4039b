"""Pictures and clips of a user's own, cropped and resized to sizes that a world makes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import FileError, StudioError, check_int, shown

MOST_FRAMES = 10_000
LARGEST = 16_384  # pixels along a side of a file
KEPT = 4  # a picture of a size that the world makes stays as it is, up to so many times the pixels in play


def sized(size: Sequence[int], factor: int) -> tuple[int, int]:
    """A size `(width, height)` that the tokenizer takes.

    Raises:
        StudioError: if a side is not a multiple of `factor`.
    """
    if isinstance(size, str) or len(size) != 2:
        raise StudioError(f"size was {shown(size)}; give (width, height) in pixels.")
    for name, side in zip(("width", "height"), size, strict=True):
        if check_int(name, side, 1, LARGEST, error=StudioError) % factor:
            raise StudioError(f"{name} was {side}; give a multiple of {factor}, such as {max(1, round(side / factor)) * factor}.")
    return int(size[0]), int(size[1])


def fitting(width: int, height: int, usual: tuple[int, int], factor: int) -> tuple[int, int]:
    """The size of about as many pixels as `usual` whose shape is nearest to that of a picture."""
    if width % factor == height % factor == 0 and width * height <= KEPT * math.prod(usual):
        return width, height
    scale = math.sqrt(math.prod(usual) / (width * height))
    columns, rows = (max(1, round(side * scale / factor)) for side in (width, height))
    return columns * factor, rows * factor


def read_picture(
    picture: str | Path | NDArray[Any], size: Sequence[int] | None, usual: tuple[int, int], factor: int
) -> NDArray[np.uint8]:
    """A picture as uint8 `(H, W, 3)`.

    Args:
        picture: a file (PNG, JPEG and whatever else FFmpeg reads), or uint8 `(H, W, 3)`.
        size: `(width, height)` to crop and resize to; by default as `fitting` says.
        usual: `(width, height)` of the world in play.
        factor: of the tokenizer.

    Raises:
        StudioError: if it is no picture, or the size does not fit.
        FileError: if the file cannot be read.
    """
    if isinstance(picture, str | Path):
        return read_clip(picture, size, usual, factor, most=1)[0]
    return read_clip(_checked(picture, 3)[None], size, usual, factor)[0]


def read_clip(
    clip: str | Path | NDArray[Any], size: Sequence[int] | None, usual: tuple[int, int], factor: int, most: int = MOST_FRAMES
) -> NDArray[np.uint8]:
    """A clip as uint8 `(T, H, W, 3)`; arguments and errors as of `read_picture`, `most` being frames that are read."""
    frames = _decoded(Path(clip), most) if isinstance(clip, str | Path) else iter(_checked(clip, 4)[:most])
    wanted, made = None if size is None else sized(size, factor), []
    for frame in frames:
        if wanted is None:
            wanted = fitting(frame.shape[1], frame.shape[0], usual, factor)
        made.append(cropped(frame, wanted))
    if not made:
        raise StudioError("the clip has no frame; give one with at least one.")
    return np.stack(made)


def cropped(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of a frame `(H, W, 3)`, in the shape of `size`, `(width, height)`, and resized to it."""
    width, height = size
    if frame.shape[:2] == (height, width):
        return frame
    scale = min(frame.shape[1] / width, frame.shape[0] / height)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (frame.shape[1] - columns) // 2, (frame.shape[0] - rows) // 2
    part = np.ascontiguousarray(frame[top : top + rows, left : left + columns])
    how = "AREA" if scale > 1 else "BICUBIC"
    resized = av.VideoFrame.from_ndarray(part, format="rgb24").reformat(width, height, interpolation=how)
    return resized.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _checked(frames: Any, dimensions: int) -> NDArray[np.uint8]:
    array = np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != dimensions or array.shape[-1] != 3 or not array.size:
        wanted = "(H, W, 3)" if dimensions == 3 else "(T, H, W, 3)"
        raise StudioError(f"frames were {array.dtype} {array.shape}; give uint8 {wanted}.")
    return array


def _decoded(path: Path, most: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of a file, `(H, W, 3)`."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileError(f"{path} holds no picture; give a picture or a video.")
            for number, frame in enumerate(container.decode(video=0)):
                if number == most:
                    return
                if max(frame.width, frame.height) > LARGEST:
                    raise FileError(f"{path} has {frame.width}x{frame.height} pixels; at most {LARGEST} along a side are read.")
                yield frame.to_ndarray(format="rgb24")
    except FileNotFoundError:
        raise FileError(f"there is no file {path}; give a picture or a video.") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, FileError | StudioError):
            raise
        raise FileError(f"{path} cannot be read as a picture or a video ({error}); give another file.") from error
