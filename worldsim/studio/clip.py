"""Clips as files, written frame by frame: memory does not grow with the length of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from worldsim.data.images import save_png
from worldsim.errors import WorldsimError
from worldsim.files import check_writable, replacing

Frame = NDArray[np.uint8]

ENDINGS = (".mp4", ".gif", ".png")
LARGEST = {".mp4": 8192, ".gif": 8192, ".png": 65_535}  # pixels along a side
SCALES = (1, 64)


@contextmanager
def writing_clip(
    path: Path, size: tuple[int, int], *, fps: float, frames: int, scale: int = 1
) -> Iterator[Callable[[Frame], None]]:
    """Gives a function that adds a frame, uint8 `(H, W, 3)`, to a file of the kind that its name says.

    An .mp4 is an h264 video that every player shows, a .gif loops for ever, and a .png shows the frames from left to right.
    The file appears once it is complete. After Ctrl-C it holds the frames that came before; after an error there is none.

    >>> with writing_clip(Path("dream.mp4"), (80, 128), fps=17.5, frames=100) as append:
    ...     append(frame)

    Args:
        path: file to write, ending in .mp4, .gif or .png.
        size: `(H, W)` of a frame in pixels.
        fps: frames per second.
        frames: how many will come, at most.
        scale: every pixel becomes a square of so many.

    Raises:
        WorldsimError: if a number is out of range, or the picture would be too large for its kind of file.
        FileError: if the name ends otherwise, or no file can be written there.
    """
    check_clip(path, size, frames, scale)
    kind, height, width = path.suffix.lower(), size[0] * scale, size[1] * scale
    stopped: KeyboardInterrupt | None = None
    count = 0

    with replacing(path) as temporary:
        sink: _Sink = _Strip(temporary) if kind == ".png" else _Video(temporary, height, width, fps, kind)

        def append(frame: Frame) -> None:
            nonlocal count
            sink.append(frame.repeat(scale, axis=0).repeat(scale, axis=1))
            count += 1

        try:
            yield append
        except KeyboardInterrupt as stop:
            if not count:
                sink.drop()
                raise
            stopped = stop
        except BaseException:
            sink.drop()
            raise
        sink.close()
    if stopped is not None:
        raise stopped


def check_clip(path: Path, size: tuple[int, int], frames: int, scale: int) -> None:
    """Raises what `writing_clip` raises, before any work is done; see there."""
    check_writable(path, ENDINGS)
    if frames < 1:
        raise WorldsimError(f"frames was {frames}; give at least 1.")
    if not SCALES[0] <= scale <= SCALES[1]:
        raise WorldsimError(f"scale was {scale}; give a whole number from {SCALES[0]} to {SCALES[1]}.")
    kind = path.suffix.lower()
    height, width = size[0] * scale, size[1] * scale * (frames if kind == ".png" else 1)
    if max(height, width) > LARGEST[kind]:
        less = "a smaller scale, fewer frames, or a name that ends in .mp4 or .gif" if kind == ".png" else "a smaller scale"
        raise WorldsimError(f"the {kind} would have {width}x{height} pixels, and its sides at most {LARGEST[kind]}; give {less}.")


class _Sink(Protocol):
    """Where enlarged frames go."""

    def append(self, frame: Frame) -> None: ...
    def close(self) -> None: ...
    def drop(self) -> None: ...


class _Strip:
    """Frames side by side in one PNG."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: list[Frame] = []

    def append(self, frame: Frame) -> None:
        self._frames.append(frame)

    def close(self) -> None:
        save_png(self._path, np.concatenate(self._frames, axis=1))

    def drop(self) -> None:
        """Nothing is open."""


class _Video:
    """Frames one after another, in an mp4 or gif."""

    def __init__(self, path: Path, height: int, width: int, fps: float, kind: str) -> None:
        rate = Fraction(fps).limit_denominator(1001)
        path.touch()  # av opens it only with the first packet, seconds later
        self._container = av.open(str(path), "w", format=kind[1:])
        self._palette = _Palette(height, width, 1 / rate) if kind == ".gif" else None
        codec, options, colours = ("gif", {}, "pal8") if self._palette else ("libx264", {"crf": "16"}, "yuv420p")
        stream: Any = self._container.add_stream(codec, rate=rate, options=options)
        # Colours of yuv420p come in squares of 2x2 pixels.
        self._padding = ((0, height % 2), (0, width % 2), (0, 0)) if self._palette is None else ((0, 0),) * 3
        stream.height, stream.width = height + self._padding[0][1], width + self._padding[1][1]
        stream.pix_fmt, self._stream = colours, stream

    def append(self, frame: Frame) -> None:
        frame = np.ascontiguousarray(np.pad(frame, self._padding, mode="edge"))
        image = av.VideoFrame.from_ndarray(frame, format="rgb24")
        for ready in [image] if self._palette is None else self._palette.reduce(image):
            self._container.mux(self._stream.encode(ready))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def drop(self) -> None:
        self._container.close()


class _Palette:
    """Gives every frame of a gif the 256 colours that suit it."""

    def __init__(self, height: int, width: int, seconds: Fraction) -> None:
        self._graph = av.filter.Graph()
        self._count, self._seconds = 0, seconds
        colours = av.VideoFormat("rgb24")
        source = self._graph.add_buffer(width=width, height=height, format=colours, time_base=seconds)
        split, sink = self._graph.add("split"), self._graph.add("buffersink")
        palette = self._graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = self._graph.add("paletteuse", "new=1:dither=none")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def reduce(self, image: av.VideoFrame) -> list[Any]:
        """Frames that the filters have finished, each in its own palette."""
        image.pts, image.time_base = self._count, self._seconds
        self._count += 1
        self._graph.push(image)
        finished = []
        while True:
            try:
                finished.append(self._graph.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return finished
