"""Frames to and from an mp4 file that can be read from any frame."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from worldsim.data.format import damaged

GOP = 16  # a random frame costs at most this many decoded frames

# Small frames lose their small bright things to 4:2:0 chroma (a fireball at 20 dB), hence 4:4:4 and finer chroma steps.
_GOOD = ("libx264", "yuv444p", {"preset": "ultrafast", "crf": "12", "x264-params": "chroma-qp-offset=-6"})
_LOSSLESS = ("libx264rgb", "rgb24", {"preset": "ultrafast", "qp": "0"})


class VideoWriter:
    """Encodes frames as they come; memory does not grow with their number.

    Args:
        path: file to write, ending in ".mp4".
        height: frame height in pixels.
        width: frame width in pixels.
        fps: frames per second.
        lossless: bit-exact, at about three times the size.
    """

    def __init__(self, path: Path, height: int, width: int, fps: float, lossless: bool = False) -> None:
        codec, pixels, options = _LOSSLESS if lossless else _GOOD
        self._container = av.open(str(path), "w", format="mp4")
        stream = self._container.add_stream(codec, rate=_rate(fps), options={**options, "bf": "0", "g": str(GOP)})
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, pixels
        self._stream.codec_context.thread_count = 1
        self._count = 0

    def append(self, frame: NDArray[np.uint8]) -> None:
        """Adds one RGB frame, uint8 `(H, W, 3)`."""
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        image.pts = self._count
        self._container.mux(self._stream.encode(image))
        self._count += 1

    def close(self) -> None:
        """Completes the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()


def read_frames(path: Path, fps: float, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """RGB frames `start` to `stop` (exclusive), uint8 `(H, W, 3)`, decoding from the key frame before `start`.

    Raises:
        DataError: if the file is missing, damaged, or shorter than `stop` frames.
    """
    position = start
    if start >= stop:
        return
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            assert stream.time_base is not None
            ticks = 1 / (_rate(fps) * stream.time_base)  # per frame
            container.seek(round(start * ticks), stream=stream)
            for image in container.decode(stream):
                number = round((image.pts or 0) / ticks)
                if number < position:
                    continue
                if number > position:
                    break
                yield image.to_ndarray(format="rgb24")
                position += 1
                if position == stop:
                    return
    except (OSError, av.FFmpegError, IndexError) as error:
        raise damaged(path, error) from error
    if position < stop:
        raise damaged(path, f"it ends at frame {position} of {stop}")


def _rate(fps: float) -> Fraction:
    """Exact frame rate: 35 / 3 and 30000 / 1001 survive."""
    return Fraction(fps).limit_denominator(1001)
