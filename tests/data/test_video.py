"""Videos: what is written is read, from any frame, and damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.data.video import GOP, VideoWriter, count_frames, read_frames
from worldsim.errors import DataError

LENGTH, FPS = 2 * GOP + 5, 17.5
FRAMES = np.random.default_rng(0).integers(0, 256, (LENGTH, 32, 48, 3), dtype=np.uint8)


def write(path: Path, frames: np.ndarray, lossless: bool = True) -> Path:
    writer = VideoWriter(path, 32, 48, FPS, lossless)
    for frame in frames:
        writer.append(frame)
    writer.close()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write(tmp_path / "video.mp4", FRAMES)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, LENGTH), (0, 1), (GOP - 1, GOP + 1), (GOP, GOP + 3), (LENGTH - 1, LENGTH), (3, 3)]
)
def test_lossless_frames_are_read_from_anywhere(video: Path, start: int, stop: int) -> None:
    seen = list(read_frames(video, FPS, start, stop, LENGTH))
    assert len(seen) == stop - start and all(map(np.array_equal, seen, FRAMES[start:stop]))
    assert count_frames(video) == LENGTH


def test_lossy_frames_are_near(tmp_path: Path) -> None:
    smooth = np.linspace(40, 200, 48)[None, None, :, None] + np.arange(4)[:, None, None, None]
    frames = np.broadcast_to(smooth, (4, 32, 48, 3)).astype(np.uint8)
    seen = np.stack(list(read_frames(write(tmp_path / "video.mp4", frames, lossless=False), FPS, 0, 4, 4)))
    assert np.abs(seen.astype(int) - frames).mean() < 3


def test_damage_is_named(video: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"it has {LENGTH} frames, its rows are {LENGTH + 1}"):
        list(read_frames(video, FPS, 0, 1, LENGTH + 1))
    with pytest.raises(DataError, match="no such file"):
        count_frames(tmp_path / "none.mp4")
    with pytest.raises(DataError, match="it is not a plain file"):
        count_frames(tmp_path)
    whole = video.read_bytes()
    video.write_bytes(whole.replace(b"avc1", b"none"))
    with pytest.raises(DataError, match="coded in an unknown way"):
        count_frames(video)
    video.write_bytes(whole[:1000])
    with pytest.raises(DataError, match=r"video.mp4"):
        count_frames(video)
