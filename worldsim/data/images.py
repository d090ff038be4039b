"""PNG files, with what the package already depends on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from worldsim.files import replacing, write_bytes


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes uint8 `(H, W, 3)` as a PNG, under a temporary name first."""
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = image.shape[1], image.shape[0], "rgb24"  # type: ignore[attr-defined]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    packets = [*codec.encode(frame), *codec.encode(None)]  # type: ignore[attr-defined]
    write_bytes(path, b"".join(bytes(packet) for packet in packets))


def save_mp4(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    """Writes uint8 frames `(T, H, W, 3)` with even sides as an h264 video, under a temporary name first."""
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "16"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
