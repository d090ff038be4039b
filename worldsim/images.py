"""PNG files, with what the package already depends on."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes uint8 `(H, W, 3)` as a PNG, under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = image.shape[1], image.shape[0], "rgb24"  # type: ignore[attr-defined]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    packets = [*codec.encode(frame), *codec.encode(None)]  # type: ignore[attr-defined]
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(b"".join(bytes(packet) for packet in packets))
    temporary.replace(path)
