"""Frames to and from an mp4 file that can be read from any frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from worldsim.data.format import damaged, frame_rate
from worldsim.data.stats import PICTURED, PictureSummary, Summary
from worldsim.files import named_errors

GOP = 16  # a random frame costs at most this many decoded frames

# Small frames lose their small bright things to 4:2:0 chroma (a fireball at 20 dB), hence 4:4:4 and finer chroma steps.
_GOOD = ("libx264", "yuv444p", {"preset": "ultrafast", "crf": "12", "x264-params": "chroma-qp-offset=-6"})
_LOSSLESS = ("libx264rgb", "rgb24", {"preset": "ultrafast", "qp": "0"})


class VideoWriter:
    """Encodes frames as they come; memory does not grow with their number.

    Args:
        path: file to write; its content is mp4, whatever the name.
        height: frame height in pixels.
        width: frame width in pixels.
        fps: frames per second.
        lossless: bit-exact, at about three times the size.
        tags: metadata of the file, such as a comment.

    Raises:
        FileError: here and in every method, if the disk is full or read-only, or permission is missing.
    """

    def __init__(
        self, path: Path, height: int, width: int, fps: float, lossless: bool = False, tags: Mapping[str, str] | None = None
    ) -> None:
        codec, pixels, options = _LOSSLESS if lossless else _GOOD
        self._path = path
        with named_errors("write", path):
            self._container = av.open(os.path.abspath(path), "w", format="mp4")
        self._container.metadata.update(tags or {})
        stream = self._container.add_stream(codec, rate=frame_rate(fps), options={**options, "bf": "0", "g": str(GOP)})
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, pixels
        self._stream.codec_context.thread_count = 1
        self._count = 0

    def append(self, frame: NDArray[np.uint8]) -> None:
        """Adds one RGB frame, uint8 `(H, W, 3)`."""
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        image.pts = self._count
        with named_errors("write", self._path):
            self._container.mux(self._stream.encode(image))
        self._count += 1

    def close(self) -> None:
        """Completes the file."""
        with named_errors("write", self._path):
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def abandon(self) -> None:
        """Closes the file, which is of no use then; raises nothing."""
        with suppress(OSError, AttributeError):
            self._container.close()
        # On a full disk closing fails, and the file stays open until nobody knows the container any more.
        for name in ("_stream", "_container"):
            self.__dict__.pop(name, None)


def read_frames(path: Path, fps: float, start: int, stop: int, length: int) -> Iterator[NDArray[np.uint8]]:
    """RGB frames `start` to `stop` (exclusive), uint8 `(H, W, 3)`, decoding from the key frame before `start`.

    Args:
        path: of the video.
        fps: frames per second.
        start, stop: range of frames.
        length: how many frames the video must have.

    Raises:
        DataError: if the file is missing, no mp4, damaged, or longer or shorter than `length` frames.
    """
    position = start
    if start >= stop:
        return
    with _opened(path) as (container, stream):
        if stream.frames != length:
            raise damaged(path, f"it has {stream.frames} frames, its rows are {length}")
        assert stream.time_base is not None
        ticks = 1 / (frame_rate(fps) * stream.time_base)  # per frame
        container.seek(round(start * ticks), stream=stream)
        for image in container.decode(stream):
            number = round((image.pts or 0) / ticks)
            if number < position:
                continue
            if number > position:
                break
            yield image.to_ndarray(format="rgb24")  # type: ignore[misc]
            position += 1
            if position == stop:
                return
    raise damaged(path, f"it ends at frame {position} of {stop}")


def count_frames(path: Path) -> int:
    """How many frames a video has according to its index; nothing is decoded.

    Raises:
        DataError: if the file is missing, no mp4, or damaged.
    """
    return video_shape(path)[0]


def video_shape(path: Path) -> tuple[int, int, int]:
    """Frames, height and width of a video according to its header; nothing is decoded.

    Raises:
        DataError: if the file is missing, no mp4, or damaged.
    """
    with _opened(path) as (_, stream):
        return stream.frames, stream.height, stream.width


def summarise_video(video: Path, fps: float, length: int) -> Summary:
    """Statistics of a video's pictures, as recorded ones have them."""
    pictures = PictureSummary()
    for t, frame in enumerate(read_frames(video, fps, 0, length, length)):
        if t % PICTURED == 0:
            pictures.add(frame)
    return pictures.result()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream. Nothing but mp4 is opened, so that no pipe or playlist is followed."""
    if not path.is_file():
        raise damaged(path, "no such file" if not path.exists() else "it is not a plain file")
    try:
        with av.open(os.path.abspath(path), format="mp4", metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise damaged(path, "it is coded in an unknown way")
            stream.codec_context.thread_count = 1
            yield container, stream
    except (OSError, av.FFmpegError, IndexError) as error:
        raise damaged(path, error) from error
