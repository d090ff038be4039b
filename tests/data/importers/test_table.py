from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.data.importers.config import VideoConfig
from worldsim.data.importers.table import import_videos
from worldsim.errors import DataError

from ..shift import FPS, SPEC, check_shift, controls, frames_after, save_video


def save(path: Path, steps: int = 40, seed: int = 0, same: bool = False, **columns: list[float]) -> np.ndarray:
    """A video with its table; with `same`, row t of the table holds what led to frame t."""
    vectors = controls(steps, seed)
    save_video(path, frames_after(vectors))
    table = np.concatenate([np.zeros((1, SPEC.size)), vectors[:-1]]) if same else vectors
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*SPEC.names, *columns])
        writer.writerows([*row, *(column[t] for column in columns.values())] for t, row in enumerate(table.tolist()))
    return vectors


@pytest.mark.parametrize("produced", ["next", "same"])
def test_controls_stand_at_the_frame_that_they_were_held_at(tmp_path: Path, produced: str) -> None:
    (tmp_path / "in").mkdir()
    vectors = save(tmp_path / "in/one.mp4", same=produced == "same")
    config = VideoConfig(tmp_path / "in", tmp_path / "out", game="my/game", produced=produced)  # type: ignore[arg-type]
    done = import_videos(config, progress=False)
    dataset = check_shift(tmp_path / "out")
    kept = len(vectors) - (produced == "same")
    assert done.episodes == 1 and done.frames == dataset.total_frames == kept
    np.testing.assert_array_equal(dataset.rows.actions, vectors[:kept])
    assert dataset.info.game == "my/game" and dataset.fps == FPS and dataset.episodes[0].policy == "imported"


def test_rewards_and_ends_are_those_of_the_row(tmp_path: Path) -> None:
    rewards, ends = [float(t) for t in range(40)], [0.0] * 39 + [1.0]
    save(tmp_path / "one.mkv", reward=rewards, terminated=ends)
    import_videos(VideoConfig(tmp_path / "one.mkv", tmp_path / "out"), progress=False)
    rows = Dataset(tmp_path / "out").rows
    np.testing.assert_array_equal(rows.rewards, rewards)
    assert rows.terminated.tolist() == [False] * 39 + [True] and not rows.truncated.any()


def test_frames_are_left_out_and_scaled(tmp_path: Path) -> None:
    vectors = save(tmp_path / "one.mp4", 41, reward=[1.0] * 41)
    config = VideoConfig(tmp_path / "one.mp4", tmp_path / "out", every=4, height=16, width=40)
    import_videos(config, progress=False)
    dataset = Dataset(tmp_path / "out")
    assert dataset.frame_shape == (16, 40, 3) and dataset.fps == FPS / 4 and dataset.info.frame_skip == 4
    groups = vectors[:40].reshape(10, 4, SPEC.size)
    np.testing.assert_array_equal(dataset.rows.actions[:, :2], groups[..., :2].max(1))  # a key held at any of them
    np.testing.assert_array_equal(dataset.rows.actions[:, 2:4], groups[..., 2:4].sum(1))
    np.testing.assert_array_equal(dataset.rows.rewards, np.full(10, 4.0))


def test_importing_again_adds_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "one.mp4")
    import_videos(VideoConfig(folder, tmp_path / "out"), progress=False)
    save(folder / "two.mp4", seed=1)
    done = import_videos(VideoConfig(folder, tmp_path / "out"), progress=False)
    assert (done.episodes, done.present) == (1, 1) and len(Dataset(tmp_path / "out")) == 2


def test_large_motions_are_cut_and_counted(tmp_path: Path) -> None:
    vectors = save(tmp_path / "one.mp4")
    done = import_videos(VideoConfig(tmp_path / "one.mp4", tmp_path / "out", mouse_limit=4.0), progress=False)
    assert done.clipped == (np.abs(vectors[:, 2:4]) > 4).any(1).sum() > 0
    assert np.abs(Dataset(tmp_path / "out").rows.actions[:, 2:4]).max() == 4


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(DataError, match="no video at"):
        import_videos(VideoConfig(folder, tmp_path / "out"), progress=False)
    save(folder / "a.mp4")
    table = (folder / "a.csv").read_text()
    for wrong, message in (
        (table.replace("mouse.left", "mouse.lef"), "has a column 'mouse.lef'.*Did you mean 'mouse.left'"),
        ("reward\n1\n", "at least one control"),
        ("a,a\n1,0\n", "give each once"),
        ("a,d\n1,0\n1\n", "line 3: .*give 2 finite numbers"),
        ("a,d\nnan,0\n", "line 2: .*finite"),
    ):
        (folder / "a.csv").write_text(wrong)
        with pytest.raises(DataError, match=message):
            import_videos(VideoConfig(folder, tmp_path / "out"), progress=False)
    (folder / "a.csv").unlink()
    with pytest.raises(DataError, match=r"no table of controls for .*a\.mp4"):
        import_videos(VideoConfig(folder, tmp_path / "out"), progress=False)
    for changes, field in (({"every": 0}, "every"), ({"height": 16}, "width"), ({"mouse_limit": -1.0}, "mouse_limit")):
        with pytest.raises(ValueError, match=field):
            VideoConfig(folder, tmp_path / "out", **changes)  # type: ignore[arg-type]


def test_a_damaged_recording_is_passed_over_if_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "a.mp4")
    save(folder / "b.mp4", seed=1)
    save(folder / "c.mp4", seed=2)
    (folder / "b.mp4").write_bytes((folder / "b.mp4").read_bytes()[:500])
    with pytest.raises(DataError, match=r"b\.mp4"):
        import_videos(VideoConfig(folder, tmp_path / "out"), progress=False)
    assert len(Dataset(tmp_path / "out")) == 1  # what came before is kept
    done = import_videos(VideoConfig(folder, tmp_path / "out", skip_damaged=True), progress=False)
    assert (done.episodes, done.present) == (1, 1) and len(done.damaged) == 1 and "b.mp4" in done.damaged[0]
    check_shift(tmp_path / "out")
