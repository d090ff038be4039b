from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.controls import ControlError, ControlSpec
from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.data.format import data_path, episode_path, video_path
from worldsim.errors import DataError

from .moving_square import SPEC, info


def noise(rng: np.random.Generator, dataset: DatasetInfo, steps: int) -> np.ndarray:
    """Smooth moving pictures with small saturated spots, about as hard to encode as a game."""
    h, w, _ = dataset.frame_shape
    y, x, t = np.mgrid[:h, :w, :steps].astype(np.float32)
    channels = [128 + 60 * np.sin(x / 5 + t / 3 + c) * np.cos(y / 7 - c) for c in range(3)]
    frames = np.stack(channels, -1).transpose(2, 0, 1, 3) + rng.normal(0, 3, (steps, h, w, 3))
    for t, frame in enumerate(frames):
        frame[h // 2 : h // 2 + 2, (t % (w - 2)) : (t % (w - 2)) + 2] = (250, 30, 20)
    return frames.clip(0, 255).astype(np.uint8)


def record(recorder: Recorder, steps: int, seed: int = 0, **labels: Any) -> dict[str, np.ndarray]:
    """Records one episode that terminates at its last step; returns what went in."""
    rng = np.random.default_rng(seed)
    spec = recorder.info.control_spec
    frames = noise(rng, recorder.info, steps)
    keys, buttons = rng.integers(2, size=(steps, len(spec.keys))), rng.integers(2, size=(steps, len(spec.buttons)))
    mouse = rng.uniform(-1, 1, (steps, 2)) * spec.mouse_limit if spec.has_mouse else np.zeros((steps, 0))
    actions = np.concatenate([keys, mouse, buttons], axis=1).astype(np.float32)
    rewards = rng.normal(size=steps).astype(np.float32)
    recorder.begin(seed=seed, **labels)
    for t in range(steps):
        recorder.append(frames[t], actions[t], float(rewards[t]), t == steps - 1, False)
    recorder.end()
    return {"frames": frames, "actions": actions, "rewards": rewards}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        ControlSpec(keys=("w",)),
        ControlSpec(buttons=("left",)),
        ControlSpec(mouse_limit=(5.0, 5.0)),
        ControlSpec(keys=("a", "d")),
    ],
    ids=lambda spec: "+".join(spec.names),
)
def test_lossless_round_trip_is_exact(tmp_path: Path, spec: ControlSpec) -> None:
    with Recorder(tmp_path, info(control_spec=spec, lossless=True)) as recorder:
        written = [record(recorder, 40, seed=1), record(recorder, 3, seed=2)]
    dataset = Dataset(tmp_path)
    assert dataset.spec == spec
    for i, want in enumerate(written):
        episode = dataset.episode(i)
        for name, value in want.items():
            got = getattr(episode, name)
            assert got.dtype == value.dtype
            np.testing.assert_array_equal(got, value)
        steps = len(want["rewards"])
        np.testing.assert_array_equal(episode.terminated, np.arange(steps) == steps - 1)
        assert not episode.truncated.any()


def test_default_video_keeps_small_saturated_things(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(height=80, width=128)) as recorder:
        frames = record(recorder, 60)["frames"]
    got = Dataset(tmp_path).frames(0)
    assert psnr(got, frames) > 42
    spot = frames[..., 0] >= 250
    assert psnr(got[spot], frames[spot]) > 36


def test_odd_sizes(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(height=15, width=33)) as recorder:
        frames = record(recorder, 5)["frames"]
    assert psnr(Dataset(tmp_path).frames(0), frames) > 36


def test_state_is_recorded(tmp_path: Path) -> None:
    settings = info(state=("x", "y", "angle"))
    states = np.arange(12, dtype=np.float32).reshape(4, 3)
    with Recorder(tmp_path, settings) as recorder:
        recorder.begin()
        for state in states:
            recorder.append(np.zeros(settings.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False, state)
        with pytest.raises(DataError, match="state has shape"):
            recorder.append(np.zeros(settings.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
        recorder.end()
    np.testing.assert_array_equal(Dataset(tmp_path).episode(0).states, states)


def test_layout_is_lerobot_v3(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 5, split="eval", world_hash="abc", sampler='{"steps": 2}', start="3")
        record(recorder, 7)
    content = json.loads((tmp_path / "meta/info.json").read_text())
    assert content["codebase_version"] == "v3.0"
    assert (content["total_episodes"], content["total_frames"]) == (2, 12)
    assert content["splits"] == {"eval": "0:1", "train": "1:2"}
    assert content["features"]["action.mouse"] == {
        "dtype": "float32",
        "shape": [3],
        "names": ["mouse.dx", "mouse.dy", "mouse.left"],
    }
    rows = pq.read_table(tmp_path / content["data_path"].format(chunk_index=0, file_index=1))
    assert set(rows.column_names) == set(content["features"]) - {"observation.images.main"}
    assert rows["index"].to_pylist() == list(range(5, 12))
    np.testing.assert_allclose(rows["timestamp"].to_numpy(), np.arange(7) / 17.5, rtol=1e-6)
    (episode,) = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-001.parquet").to_pylist()
    assert (episode["dataset_from_index"], episode["dataset_to_index"], episode["length"]) == (5, 12, 7)
    assert episode["videos/observation.images.main/file_index"] == episode["data/file_index"] == 1
    assert episode["videos/observation.images.main/to_timestamp"] == pytest.approx(7 / 17.5)
    assert pq.read_table(tmp_path / "meta/tasks.parquet").to_pylist() == [{"task_index": 0, "task": "Play square."}]
    dreamed = Dataset(tmp_path, "eval").episodes[0]
    assert (dreamed.world_hash, dreamed.sampler, dreamed.start) == ("abc", '{"steps": 2}', "3")


def test_thousand_files_make_a_chunk() -> None:
    assert video_path(Path("r"), 999) == Path("r/videos/observation.images.main/chunk-000/file-999.mp4")
    assert data_path(Path("r"), 2001) == Path("r/data/chunk-002/file-001.parquet")


def test_actions_are_stored_as_the_game_takes_them(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        recorder.begin()
        recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.array([0.7, 0.2, 99, 5, 0.5]), 0.0, False, False)
        recorder.end()
    np.testing.assert_array_equal(Dataset(tmp_path).episode(0).actions, [[1, 0, 10, 0, 1]])


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


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"fps": 35.0}, "fps"), ({"height": 48}, "height"), ({"control_spec": ControlSpec(keys=("w",))}, "control_spec")],
)
def test_another_kind_of_dataset_is_refused(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    with pytest.raises(DataError, match=f"differs: {name} "):
        Recorder(tmp_path, info(**changes))
    assert len(Dataset(tmp_path)) == 1


def test_one_recorder_at_a_time(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()), pytest.raises(DataError, match="another process is recording"):
        Recorder(tmp_path, info())
    Recorder(tmp_path, info()).close()


KILLED = """
import sys
sys.path[:0] = [{tests!r}]
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


def test_a_crash_between_the_files_of_an_episode(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 4, seed=1)
        record(recorder, 6, seed=2)
    episode_path(tmp_path, 1).rename(episode_path(tmp_path, 1).with_name(".file-001.parquet.0123abcd.worldsim-tmp"))
    assert [episode.seed for episode in Dataset(tmp_path).episodes] == [1]
    with Recorder(tmp_path, info()) as recorder:
        assert not video_path(tmp_path, 1).exists() and not data_path(tmp_path, 1).exists()
        record(recorder, 5, seed=3)
    assert not list(tmp_path.rglob("*tmp"))
    assert [(episode.seed, episode.first_row) for episode in Dataset(tmp_path).episodes] == [(1, 0), (3, 4)]


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


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_recording_memory_is_flat(tmp_path: Path) -> None:
    settings = info(height=80, width=128)
    frames = noise(np.random.default_rng(0), settings, 50)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with Recorder(tmp_path, settings) as recorder:
        recorder.begin()
        for t in range(1500):
            if t == 500:
                before = resident()
            recorder.append(frames[t % 50], np.zeros(SPEC.size), 0.0, False, False)
        assert resident() - before < 4 << 20  # 1,000 frames are 30 MB
        recorder.end()
