"""A LeRobot v3 dataset laid out as the package lerobot does it: several episodes in one video and one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worldsim.data import Dataset
from worldsim.data.importers.config import LeRobotConfig
from worldsim.data.importers.lerobot import import_lerobot
from worldsim.errors import DataError

from ..shift import FPS, HEIGHT, SPEC, WIDTH, check_shift, controls, frames_after, save_video

KEY = "observation.images.front"
WORDS = ("a", "d", "mouse.dx", "mouse.dy", "mouse.left")
LENGTHS = (20, 15, 25)


def save(root: Path, **changes: Any) -> np.ndarray:
    """Written by hand from LeRobot's description of its format v3."""
    vectors = [controls(length, seed) for seed, length in enumerate(LENGTHS)]
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    folder = root / f"videos/{KEY}/chunk-000"
    for path in (folder, root / "data/chunk-000", root / "meta/episodes/chunk-000"):
        path.mkdir(parents=True)
    save_video(folder / "file-000.mp4", np.concatenate([frames_after(part) for part in vectors]))
    steps = np.concatenate([np.arange(length) for length in LENGTHS])
    rows = {
        "action": list(np.concatenate(vectors)),
        "next.reward": np.arange(60, dtype=np.float32),
        "next.done": np.isin(np.arange(60), offsets[1:] - 1),
        "timestamp": (steps / FPS).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.repeat(np.arange(3), LENGTHS),
        "index": np.arange(60),
        "task_index": np.zeros(60, np.int64),
    }
    pq.write_table(pa.table(rows), root / "data/chunk-000/file-000.parquet")
    episodes = [
        {
            "episode_index": i,
            "tasks": ["Play."],
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            f"videos/{KEY}/chunk_index": 0,
            f"videos/{KEY}/file_index": 0,
            f"videos/{KEY}/from_timestamp": float(offsets[i] / FPS),
            f"videos/{KEY}/to_timestamp": float(offsets[i + 1] / FPS),
        }
        for i, length in enumerate(LENGTHS)
    ]
    pq.write_table(pa.Table.from_pylist(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
    features = {
        KEY: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]},
        "action": {"dtype": "float32", "shape": [SPEC.size], "names": list(WORDS)},
    }
    info = {"codebase_version": "v3.0", "fps": round(FPS), "features": features, "total_episodes": 3, **changes}
    (root / "meta/info.json").write_text(json.dumps(info))
    return np.concatenate(vectors)


def test_episodes_are_cut_out_of_shared_files(tmp_path: Path) -> None:
    vectors = save(tmp_path / "in")
    import_lerobot(LeRobotConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    dataset = check_shift(tmp_path / "out", SPEC)
    assert dataset.lengths.tolist() == list(LENGTHS) and dataset.fps == FPS
    np.testing.assert_array_equal(dataset.rows.actions, vectors)
    np.testing.assert_array_equal(dataset.rows.rewards, np.arange(60))
    assert np.flatnonzero(dataset.rows.truncated).tolist() == [19, 34, 59] and not dataset.rows.terminated.any()
    assert {episode.policy for episode in dataset.episodes} == {"lerobot"}


def test_words_say_what_the_entries_do(tmp_path: Path) -> None:
    vectors = save(tmp_path / "in")
    words = ("left", "none", "mouse.dx=2", "none", "mouse.right")
    import_lerobot(LeRobotConfig(tmp_path / "in", tmp_path / "out", actions=words, every=5), progress=False)
    dataset = Dataset(tmp_path / "out")
    assert dataset.spec.names == ("left", "mouse.dx", "mouse.dy", "mouse.right") and dataset.fps == FPS / 5
    groups = vectors[:20].reshape(4, 5, -1)
    np.testing.assert_array_equal(dataset.episode_rows(0).actions[:, 0], groups[..., 0].max(1))
    limit = dataset.spec.mouse_limit[0]
    assert limit == 2 * np.abs(vectors[:, 2]).max()
    np.testing.assert_array_equal(dataset.episode_rows(0).actions[:, 1], np.clip(2 * groups[..., 2].sum(1), -limit, limit))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    features = {KEY: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": None}}
    outside = {"../../x": features[KEY], "action": {"dtype": "float32", "shape": [5], "names": list(WORDS)}}
    cases: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
        ({"codebase_version": "v2.1"}, {}, "has LeRobot's format 'v2.1'"),
        ({}, {"image": "observation.images.top"}, "choose from the videos"),
        ({"features": outside}, {}, "image was None"),
        ({"features": features}, {}, "no feature 'action'"),
        ({}, {"actions": ("a",)}, "each action is 5 numbers"),
        ({"features": 3}, {}, "damaged, or no LeRobot"),
        ({"fps": -1}, {}, "fps was -1"),
    )
    for number, (changes, options, message) in enumerate(cases):
        save(tmp_path / str(number), **changes)
        with pytest.raises(DataError, match=message):
            import_lerobot(LeRobotConfig(tmp_path / str(number), tmp_path / "out", **options), progress=False)
    (video,) = (tmp_path / "1").rglob("*.mp4")
    save_video(video, frames_after(controls(30)))
    with pytest.raises(DataError, match="ends after 10 frames of 15"):
        import_lerobot(LeRobotConfig(tmp_path / "1", tmp_path / "out"), progress=False)
