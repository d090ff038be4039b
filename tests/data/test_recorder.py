from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.controls import ControlError
from worldsim.data import Dataset, Recorder
from worldsim.data.format import data_path, episode_path
from worldsim.data.recorder import next_split
from worldsim.errors import DataError, FileError

from .moving_square import SPEC, info
from .recording import append, record, tree


def test_discarded_and_empty_episodes_leave_nothing(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        recorder.begin()
        recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
        recorder.discard()
        recorder.begin()
        assert recorder.end() is None
        record(recorder, 2)
        recorder.begin()
        recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
    assert [episode.length for episode in Dataset(tmp_path).episodes] == [2]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "file-000.mp4",
        "file-000.parquet",
        "file-000.parquet",
        "info.json",
        "stats.json",
        "tasks.parquet",
    ]


def test_misuse_is_named(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, info())
    frame = np.zeros(recorder.info.frame_shape, np.uint8)
    with pytest.raises(DataError, match="call begin"):
        recorder.append(frame, np.zeros(SPEC.size), 0.0, False, False)
    with pytest.raises(DataError, match="split was 'test'"):
        recorder.begin(split="test")
    with pytest.raises(DataError, match="unknown label 'colour'"):
        recorder.begin(colour="red")
    recorder.begin()
    with pytest.raises(DataError, match="call end"):
        recorder.begin()
    with pytest.raises(DataError, match=r"takes uint8 \(32, 32, 3\)"):
        recorder.append(frame[:-1], np.zeros(SPEC.size), 0.0, False, False)
    with pytest.raises(DataError, match="float32"):
        recorder.append(frame.astype(np.float32), np.zeros(SPEC.size), 0.0, False, False)
    with pytest.raises(ControlError):
        recorder.append(frame, np.zeros(SPEC.size + 1), 0.0, False, False)
    recorder.append(frame, np.zeros(SPEC.size), 0.0, True, False)
    with pytest.raises(DataError, match="is over"):
        recorder.append(frame, np.zeros(SPEC.size), 0.0, False, False)
    recorder.close()
    recorder.close()


def test_a_full_disk_drops_only_the_episode(full_disk: Path) -> None:
    recorder = Recorder(full_disk / "data", info(lossless=True))
    record(recorder, 5)
    rng = np.random.default_rng(0)
    recorder.begin()
    with pytest.raises(FileError, match="No space left on device"):
        for _ in range(1000):
            append(recorder, rng.integers(0, 256, recorder.info.frame_shape, dtype=np.uint8))
        recorder.end()
    record(recorder, 4)
    recorder.close()
    dataset = Dataset(full_disk / "data")
    assert dataset.lengths.tolist() == [5, 4] and [len(dataset.frames(i)) for i in range(2)] == [5, 4]
    assert not [name for name in tree(full_disk) if "tmp" in name or ".partial" in name]


def test_a_disk_that_fills_up_between_the_files_of_an_episode(full_disk: Path) -> None:
    recorder = Recorder(full_disk / "data", info())
    record(recorder, 5)
    before = tree(full_disk)
    with pytest.raises(FileError, match="No space left on device"):
        recorder.begin(seed=1)
        append(recorder)
        filler = full_disk / "filler"
        filler.write_bytes(bytes(len(before) and _room(full_disk)))
        recorder.end()
    filler.unlink()
    assert tree(full_disk) == before
    record(recorder, 4)
    recorder.close()
    assert Dataset(full_disk / "data").lengths.tolist() == [5, 4]


def _room(folder: Path) -> int:
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize - 8192  # enough for the video, not for the tables


def test_a_recorder_that_fails_lets_go_of_the_folder(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    path = episode_path(tmp_path, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(DataError, match="damaged") as caught:
        Recorder(tmp_path, info())
    path.write_bytes(whole)
    Recorder(tmp_path, info()).close()
    del caught  # until here the traceback kept the first recorder alive


def test_one_recorder_at_a_time(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()), pytest.raises(FileError, match="another process is recording"):
        Recorder(tmp_path, info())
    Recorder(tmp_path, info()).close()


KILLED = """
import sys
sys.path[:0] = [{tests!r}]
from data.recording import *
from data.test_recorder import *
recorder = Recorder({root!r}, info())
record(recorder, 20, seed=1)
record(recorder, 20, seed=2)
recorder.begin(seed=3)
for frame in noise(np.random.default_rng(3), recorder.info, 100):
    recorder.append(frame, np.zeros(SPEC.size), 0.0, False, False)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_only_its_episode(tmp_path: Path) -> None:
    program = KILLED.format(tests=str(Path(__file__).parent.parent), root=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert [episode.seed for episode in Dataset(tmp_path).episodes] == [1, 2]
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 5, seed=4)
    assert [episode.seed for episode in Dataset(tmp_path).episodes] == [1, 2, 4]
    assert len(list(tmp_path.rglob("*.mp4"))) == 3
    assert json.loads((tmp_path / "meta/info.json").read_text())["total_frames"] == 45


def test_rows_are_renumbered_after_a_replaced_episode(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        written = [record(recorder, steps, seed=steps) for steps in (3, 4, 5)]
    episode_path(tmp_path, 1).unlink()
    with Recorder(tmp_path, info()) as recorder:
        assert recorder.has_gap
        record(recorder, 9)
    dataset = Dataset(tmp_path)
    assert [episode.first_row for episode in dataset.episodes] == [0, 3, 12]
    assert pq.read_table(data_path(tmp_path, 2))["index"].to_pylist() == list(range(12, 17))
    np.testing.assert_array_equal(dataset.episode(2).actions, written[2]["actions"])


def test_without_a_share_everything_is_for_training() -> None:
    episodes = [SimpleNamespace(split="train", length=10)] * 5
    assert next_split(episodes, 0.0) == "train"  # type: ignore[arg-type]
    assert next_split(episodes, 0.1) == "eval"  # type: ignore[arg-type]
    assert next_split([], 0.9) == "train"
