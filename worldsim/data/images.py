"""Pictures and clips for people to look at: .png, .mp4 and .gif files, written as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.video.stream import VideoStream
from numpy.typing import NDArray

from worldsim.errors import DataError
from worldsim.files import check_writable, named_errors, replacing, write_bytes
from worldsim.provenance import MARKS, Claim, MarkOptions
from worldsim.provenance.marking import Marker

CLIP_ENDINGS = (".mp4", ".gif")


def save_png(path: str | Path, image: NDArray[np.uint8], claim: Claim | None = None, marks: MarkOptions = MARKS) -> None:
    """Writes RGB uint8 `(H, W, 3)` as a PNG.

    Args:
        path: file that ends in .png.
        image: as it is to be seen; a watermark, if it is to have one, is in it already.
        claim: says that it was generated, and how; None for what no world generated.
        marks: how that is shown.

    Raises:
        FileError: if the name does not end in .png, or the file cannot be written.
    """
    check_writable(path, (".png",))
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = image.shape[1], image.shape[0], "rgb24"  # type: ignore[attr-defined]
    packets = [*codec.encode(_frame(image)), *codec.encode(None)]  # type: ignore[attr-defined]
    content = b"".join(bytes(packet) for packet in packets)
    if claim is None:
        write_bytes(path, content)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        Marker(claim, marks).finish(temporary, ".png")


def save_mp4(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Writes RGB uint8 frames `(T, H, W, 3)` as an h264 video; see `ClipWriter`.

    Raises:
        FileError: if the name does not end in .mp4, or the file cannot be written.
    """
    check_writable(path, (".mp4",))
    with ClipWriter(path, fps) as clip:
        for frame in frames:
            clip.append(frame)


class ClipWriter:
    """Writes a clip frame by frame, so that memory does not grow with its length: h264 for .mp4, else an animated .gif.

    >>> with ClipWriter("clip.mp4", fps=17.5, scale=4) as clip:
    ...     clip.append(frame)

    The file appears when the block ends. After Ctrl-C it holds the frames so far; after any other error there is none.

    Args:
        path: file that ends in .mp4 or .gif.
        fps: frames per second, above 0.
        scale: every pixel becomes a square of so many, at least 1.
        claim: says that a world generated it, and how; None for recordings of real games.
        marks: how that is shown.

    Raises:
        FileError: if the name ends in something else, or the file cannot be written; here for what can be known beforehand.
        DataError: if `fps` or `scale` is out of range, or frames differ in size.
    """

    def __init__(
        self, path: str | Path, fps: float, scale: int = 1, claim: Claim | None = None, marks: MarkOptions = MARKS
    ) -> None:
        if not 0 < fps < 1000 or scale < 1:
            raise DataError(f"fps was {fps} and scale {scale}; give an fps above 0 and below 1000, and a scale of at least 1.")
        check_writable(path, CLIP_ENDINGS)
        self._path, self._scale, self._is_gif = path, scale, str(path).lower().endswith(".gif")
        self._rate = Fraction(fps).limit_denominator(1000)
        self._marker = Marker(claim, marks)
        self._shape: tuple[int, ...] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> ClipWriter:
        with ExitStack() as undo:
            self._temporary = undo.enter_context(replacing(self._path))
            with named_errors("write", self._path):
                self._container: OutputContainer = av.open(str(self._temporary), "w", format="gif" if self._is_gif else "mp4")
            self._container.metadata.update({} if self._is_gif else self._marker.mp4_tags)
            self._undo = undo.pop_all()
        return self

    def append(self, frame: NDArray[np.uint8], generated: bool = True) -> None:
        """Adds one RGB frame, uint8 `(H, W, 3)`, of the same size as those before. In a clip with a claim, one that was not
        `generated` but given gets no watermark.
        """
        if self._shape is None:
            self._shape = frame.shape
            self._begin(frame.shape[0] * self._scale, frame.shape[1] * self._scale)
        if frame.shape != self._shape:
            raise DataError(f"a frame of shape {frame.shape} came after others of {self._shape}; all must be of one size.")
        large = self._marker.frame(frame, generated).repeat(self._scale, 0).repeat(self._scale, 1)
        if not self._is_gif:  # h264 takes even sides only
            large = np.pad(large, ((0, large.shape[0] % 2), (0, large.shape[1] % 2), (0, 0)), mode="edge")
        picture = _frame(large)
        picture.pts, picture.time_base = self._count, 1 / self._rate
        with named_errors("write", self._path):
            self._container.mux(self._stream.encode(self._quantised(picture) if self._is_gif else picture))
        self._count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._undo:  # moves the file into place, or removes it on an error
            if not self._count or (kind is not None and not issubclass(kind, KeyboardInterrupt)):
                with suppress(OSError):
                    self._container.close()
                raise error or DataError("the clip has no frames; append at least one.")
            with named_errors("write", self._path):
                self._container.mux(self._stream.encode(None))
                self._container.close()
                self._marker.finish(self._temporary, ".gif" if self._is_gif else ".mp4")

    def _begin(self, height: int, width: int) -> None:
        codec, pixels, options = ("gif", "pal8", {}) if self._is_gif else ("libx264", "yuv420p", {"crf": "16"})
        stream = self._container.add_stream(codec, rate=self._rate, options=options)
        assert isinstance(stream, VideoStream)
        odd = (0, 0) if self._is_gif else (height % 2, width % 2)
        stream.height, stream.width, stream.pix_fmt = height + odd[0], width + odd[1], pixels
        stream.time_base = 1 / self._rate
        self._stream = stream
        if self._is_gif:
            self._graph = _palette_graph(height, width, self._rate)

    def _quantised(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in 256 colours of its own."""
        self._graph.push(picture)
        quantised = self._graph.pull()
        assert isinstance(quantised, av.VideoFrame)
        quantised.pts, quantised.time_base = picture.pts, picture.time_base
        return quantised


def _frame(image: NDArray[np.uint8]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


def _palette_graph(height: int, width: int, rate: Fraction) -> Graph:
    """A filter that gives every frame the palette that suits it best, without looking at the others."""
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=1 / rate)
    split = graph.add("split")
    generate = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "new=1:dither=none")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
