from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.provenance import MarkOptions
from worldsim.provenance.marking import Marker
from worldsim.provenance.watermark import BITS, SMALLEST, embed, find

from .clips import CLAIM, scenes, write

PAYLOAD = CLAIM.payload
MARKED = MarkOptions(c2pa=False)


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def half(frames: list[np.ndarray]) -> np.ndarray:
    height, width = frames[0].shape[0] // 2, frames[0].shape[1] // 2
    images = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]
    return np.stack([i.reformat(width, height, interpolation="BICUBIC").to_ndarray(format="rgb24") for i in images])


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (80, 112), (32, 128)])
def test_it_is_read_and_hardly_seen(size: tuple[int, int]) -> None:
    for seed, frame in enumerate(scenes(3, *size, seed=size[0])):
        payload = 0x9E3779B9 * (seed + 1) % 2**32
        marked = embed(frame, payload)
        found = find([marked])
        assert found.sure and found.payload == payload and found.agreeing == BITS and found.confidence > 0.95
        assert 10 * np.log10(255**2 / np.square(marked.astype(float) - frame).mean()) > 42
        assert np.array_equal(marked, embed(frame, payload))


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_it_survives_compression_and_half_the_size(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a{ending}", scenes(6), marks=MARKED, scale=4)
    frames = read(path)
    found = find(frames)
    assert found.sure and found.payload == PAYLOAD
    again = write(tmp_path / "again.mp4", half(frames), claim=None)
    found = find(read(again))
    assert found.sure and found.payload == PAYLOAD


def test_it_is_found_in_film_strips_and_pieces_of_them() -> None:
    marker = Marker(CLAIM)
    strip = np.concatenate([marker.frame(frame) for frame in scenes(6)], axis=1).repeat(4, 0).repeat(4, 1)
    for picture in (strip, half([strip])[0], strip[:, 384 : 3 * 384]):
        found = find([picture])
        assert found.sure and found.payload == PAYLOAD


def test_black_and_white_frames_hold_it_too() -> None:
    for level in (0, 3, 128, 255):
        found = find([embed(np.full((64, 96, 3), level, np.uint8), PAYLOAD)] * 2)
        assert found.sure and found.payload == PAYLOAD, level


def test_nothing_is_found_where_there_is_nothing() -> None:
    rng = np.random.default_rng(0)
    for seed in range(40):
        assert not find(scenes(2, seed=seed)).sure
        assert not find([rng.integers(0, 255, (64, 96 * (1 + seed % 12), 3), np.uint8)]).sure
        assert not find([np.full((64, 96, 3), 6 * seed, np.uint8)] * 50).sure
    assert not find([embed(scenes(1)[0], PAYLOAD)], key="another").sure
    assert not find([]).sure and not find(scenes(1, 8, 8)).sure


def test_given_and_small_frames_and_real_ones_stay_as_they_are() -> None:
    frame, small = scenes(1)[0], scenes(1, SMALLEST - 1, 96)[0]
    assert Marker(CLAIM).frame(frame, generated=False) is frame and Marker(None).frame(frame) is frame
    assert Marker(CLAIM, MarkOptions(watermark=False)).frame(frame) is frame
    assert embed(small, PAYLOAD) is small
