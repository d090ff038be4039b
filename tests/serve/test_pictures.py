from __future__ import annotations

import io

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from worldsim.serve.pictures import Jpeg


def read(data: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(data), format="jpeg_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("size", [(80, 128), (32, 128), (7, 9)])
def test_frames_survive_with_their_small_bright_things(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), (90, 80, 70), np.uint8)
    frame[3:5, 3:5] = (255, 120, 0)
    encode = Jpeg(*size)
    for _ in range(3):  # every picture stands alone, and has the same quality
        data = encode(frame)
        assert data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
        assert np.abs(read(data).astype(int) - frame).mean() < 3
        assert np.abs(read(data)[3:5, 3:5].astype(int) - (255, 120, 0)).max() < 50
    assert encode(frame) == data


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)])
def test_colours_keep_their_range(colour: tuple[int, int, int]) -> None:
    frame = np.full((16, 16, 3), colour, np.uint8)
    assert np.abs(read(Jpeg(16, 16)(frame)).astype(int) - frame).max() <= 2
