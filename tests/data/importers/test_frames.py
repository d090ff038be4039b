from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.data.importers.frames import pictures, probe, resized, video_files, video_frames
from worldsim.errors import DataError

from ..shift import controls, frames_after, save_video


def test_frames_are_scaled_by_averaging() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[::2] = 200
    assert np.abs(resized(frame, 4, 4).astype(int) - 100).max() <= 2
    assert resized(frame, 8, 8) is frame


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_frame_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match="frames are uint8"):
        resized(wrong, 16, 16)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "avi", "mov"])
def test_containers(tmp_path: Path, ending: str) -> None:
    frames, path = frames_after(controls(20)), tmp_path / f"a.{ending}"
    save_video(path if ending != "webm" else tmp_path / "a.mkv", frames)
    if ending == "webm":
        (tmp_path / "a.mkv").rename(path)
    info = probe(path)
    assert (info.height, info.width, info.fps) == (32, 80, 20) and video_files(tmp_path) == [path]
    found = np.stack(list(video_frames(path, 32, 80)))
    assert found.shape == frames.shape and np.abs(found.astype(int) - frames).mean() < 4
    if ending == "mp4":
        late = np.stack(list(video_frames(path, 32, 80, start=0.25)))
        np.testing.assert_array_equal(late, found[5:])


def test_no_playlist_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    for wrong in (path, tmp_path / "b.m3u8", tmp_path / "missing.mp4"):
        with pytest.raises(DataError, match="cannot be read"):
            probe(wrong)


def test_pictures_of_other_libraries() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)
    np.testing.assert_array_equal(pictures(frames), frames)
    np.testing.assert_array_equal(pictures(frames.transpose(0, 3, 1, 2)), frames)
    np.testing.assert_array_equal(pictures(frames / 255), frames)
    grey = frames[..., 0]
    for array in (grey, grey[..., None], grey[:, None]):
        np.testing.assert_array_equal(pictures(array), np.repeat(grey[..., None], 3, axis=-1))
    for wrong in (np.zeros((2, 17), np.uint8), np.zeros((2, 12, 16, 4), np.uint8), frames.astype(int), frames.astype(float)):
        with pytest.raises(DataError, match="the images"):
            pictures(wrong)
