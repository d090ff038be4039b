from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.controls import ControlError, ControlSpec
from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.data.format import VIDEO_KEY, data_path, episode_path, video_path
from worldsim.errors import DataError, FileError

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


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def append(recorder: Recorder, frame: Any = None, reward: Any = 0.0, terminated: Any = False, state: Any = None) -> None:
    frame = np.zeros(recorder.info.frame_shape, np.uint8) if frame is None else frame
    recorder.append(frame, np.zeros(recorder.info.control_spec.size), reward, terminated, False, state)


@pytest.mark.parametrize(
    "names",
    [
        ("notes.tmp",),
        (".partial/film.mp4",),
        ("data/chunk-000/file-000.parquet", f"videos/{VIDEO_KEY}/chunk-000/file-000.mp4"),
        ("meta/info.jsn",),
        ("meta/.info.json.0123abcd.worldsim-tmp", "readme"),
    ],
)
def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(DataError, match=r"is no dataset .* nothing was changed: record into a new or empty folder"):
        Recorder(tmp_path, info())
    assert tree(tmp_path) == before


def test_a_dataset_without_its_meta_folder_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    shutil.rmtree(tmp_path / "meta")
    before = tree(tmp_path)
    with pytest.raises(DataError, match="is no dataset"):
        Recorder(tmp_path, info())
    assert tree(tmp_path) == before and len(before) == 2


def test_a_dataset_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text('{"codebase_version": "v3.0"}')
    with pytest.raises(DataError, match="no 'worldsim' part"):
        Recorder(tmp_path, info())


def test_what_a_killed_recorder_began_can_be_taken_up(tmp_path: Path) -> None:
    for name in ("meta/.info.json.0123abcd.worldsim-tmp", ".partial/episode-0.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    assert len(Dataset(tmp_path)) == 1 and not (tmp_path / ".partial").exists()
    assert not [name for name in tree(tmp_path) if name.endswith("tmp")]


def test_only_our_own_files_are_removed_from_a_dataset(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    kept = ("a.tmp", "data/chunk-000/file-000 (copy).parquet", "data/chunk-000/b.tmp", ".partial/film.mp4", "videos/c.tmp")
    for name in kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    assert {name: tree(tmp_path).get(name) for name in kept} == dict.fromkeys(kept, b"precious")
    assert len(Dataset(tmp_path)) == 2


def test_files_without_metadata_are_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with Recorder(tmp_path, info()) as recorder:
            record(recorder, 3)
        before = tree(tmp_path)
        episode_path(tmp_path, 0).unlink()
    with Recorder(tmp_path, info()):
        pass
    video = f"videos/{VIDEO_KEY}/chunk-000/file-000"
    aside = sorted(name for name in tree(tmp_path) if name.startswith("orphans"))
    assert aside == [f"orphans/data/chunk-000/file-000{n}.parquet" for n in (".1", "")] + [
        f"orphans/{video}{n}.mp4" for n in (".1", "")
    ]
    assert tree(tmp_path)[f"orphans/{video}.1.mp4"] == before[f"{video}.mp4"]
    assert "2 files of episodes without metadata were moved" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"reward": None}, "reward was None"),
        ({"reward": float("nan")}, "reward was nan; give one finite number"),
        ({"reward": 1e300}, "one finite number"),
        ({"reward": "1"}, "reward was '1'"),
        ({"reward": [1.0, 2.0]}, "one finite number"),
        ({"terminated": "no"}, "terminated was 'no'"),
        ({"terminated": None}, "terminated was None"),
        ({"terminated": 2}, "give True or False"),
        ({"state": "x"}, "state was 'x'"),
        ({"frame": [[1]]}, "this dataset takes uint8"),
    ],
)
def test_a_row_that_is_refused_leaves_no_frame(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    with Recorder(tmp_path, info(lossless=True)) as recorder:
        recorder.begin()
        for t in range(4):
            append(recorder, np.full(recorder.info.frame_shape, 50 * t, np.uint8), t)
            with pytest.raises(DataError, match=message):
                append(recorder, **bad)
        recorder.end()
    episode = Dataset(tmp_path).episode(0)
    assert episode.frames[:, 0, 0, 0].tolist() == [0, 50, 100, 150] and episode.rewards.tolist() == [0, 1, 2, 3]


def test_numpy_scalars_are_welcome(tmp_path: Path) -> None:
    settings = info(
        height=np.int64(32), width=np.int16(32), fps=np.float32(17.5), frame_skip=np.uint8(2), lossless=np.bool_(True)
    )
    with Recorder(tmp_path, settings) as recorder:
        recorder.begin(seed=np.uint64(2**64 - 1), begun_at=np.int8(7))  # type: ignore[arg-type]
        append(recorder, reward=np.float16(0.5), terminated=np.bool_(True))
        recorder.end()
    episode = Dataset(tmp_path).episodes[0]
    assert (episode.seed, episode.begun_at) == (2**64 - 1, 7) and type(settings.height) is int
    with Recorder(tmp_path, info(frame_skip=2, lossless=True)):
        pass  # the same kind


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"seed": -1}, "seed was -1; give a whole number from 0 to 18446744073709551615"),
        ({"seed": 2**64}, "seed was 18446744073709551616"),
        ({"seed": "x"}, "seed was 'x'"),
        ({"seed": 1.5}, "seed was 1.5"),
        ({"seed": True}, "seed was True"),
        ({"policy": 3}, "policy was 3; give a string"),
        ({"policy": None}, "policy was None"),
        ({"policy": "\ud800"}, "policy was"),
        ({"split": None}, "split was None"),
        ({"world_hash": 3}, "world_hash was 3"),
        ({"start": 3}, "start was 3"),
        ({"begun_at": -1}, "begun_at was -1"),
    ],
)
def test_labels_are_checked_when_an_episode_begins(tmp_path: Path, labels: dict[str, Any], message: str) -> None:
    with Recorder(tmp_path, info()) as recorder:
        with pytest.raises(DataError, match=message):
            recorder.begin(**labels)
        record(recorder, 3)
    assert len(Dataset(tmp_path)) == 1


def test_an_episode_begun_late_is_not_replayable(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        for labels in ({"seed": 3}, {"seed": 3, "begun_at": 20}, {}):
            recorder.begin(**labels)  # type: ignore[arg-type]
            append(recorder)
            recorder.end()
    assert [(e.begun_at, e.replayable) for e in Dataset(tmp_path).episodes] == [(0, True), (20, False), (0, False)]


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": 0},
        {"fps": float("nan")},
        {"fps": "x"},
        {"height": 0},
        {"height": 10**9},
        {"width": 1.5},
        {"frame_skip": 0},
        {"game": 3},
    ],
)
def test_impossible_datasets_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(changes))} was"):
        info(**changes)


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


def test_a_read_only_folder_is_refused_at_once(full_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    with pytest.raises(FileError, match="Read-only file system"):
        Recorder(full_disk / "data", info())


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


def test_statistics_are_as_lerobot_computes_them(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(lossless=True, state=("x",))) as recorder:
        rng, frames, rewards = np.random.default_rng(0), [], rng_rewards()
        for length in (20, 33):
            recorder.begin()
            for t in range(length):
                frames.append(rng.integers(0, 256, recorder.info.frame_shape, dtype=np.uint8))
                append(recorder, frames[-1], next(rewards), state=[t])
            recorder.end()
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    content = json.loads((tmp_path / "meta/info.json").read_text())
    assert set(stats) == set(content["features"])
    chosen = np.stack([frames[t] for t in (0, 16, 20, 36, 52)]) / 255
    pictures = stats[VIDEO_KEY]
    assert pictures["count"] == [5] and np.shape(pictures["mean"]) == (3, 1, 1)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(np.reshape(pictures[name], 3), getattr(chosen, name)(axis=(0, 1, 2)))
    for column, feature in (("rewards", "next.reward"), ("actions", "action.keyboard"), ("states", "observation.state")):
        values = getattr(Dataset(tmp_path).rows, column).reshape(53, -1)[:, : len(stats[feature]["mean"])].astype(np.float64)
        assert stats[feature]["count"] == [53]
        for name in ("min", "max", "mean", "std"):
            np.testing.assert_allclose(stats[feature][name], getattr(values, name)(axis=0), atol=1e-12)
    assert (stats["index"]["min"], stats["index"]["max"], stats["episode_index"]["mean"]) == ([0], [52], [33 / 53])


def rng_rewards() -> Iterator[float]:
    rng = np.random.default_rng(1)
    while True:
        yield float(rng.normal())


def test_older_datasets_get_statistics_and_hashes(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 20)
    before, fingerprint = tree(tmp_path), Dataset(tmp_path).fingerprint
    table = pq.read_table(episode_path(tmp_path, 0))
    old = [name for name in table.column_names if name not in ("worldsim_stats", "content_hash", "begun_at")]
    pq.write_table(table.select(old), episode_path(tmp_path, 0))
    (tmp_path / "meta/stats.json").unlink()
    dataset = Dataset(tmp_path)
    assert dataset.episodes[0].content_hash is None and dataset.episodes[0].begun_at == 0
    assert dataset.fingerprint == fingerprint
    Recorder(tmp_path, info()).close()
    after = tree(tmp_path)
    assert {name for name in before if before[name] != after[name]} <= {
        "meta/stats.json",
        "meta/episodes/chunk-000/file-000.parquet",
    }
    assert Dataset(tmp_path).episodes[0].content_hash == dataset.content_hash(0)


@pytest.mark.parametrize("fps", [35 / 3 / 16, 30000 / 1001 / 40, 1.0123456])
def test_times_of_long_episodes_are_those_of_the_video(tmp_path: Path, fps: float) -> None:
    """LeRobot compares both as float32, and takes a frame for missing that is more than 1e-4 s away."""
    length = int(2400 * fps)
    with Recorder(tmp_path, info(fps=fps, height=16, width=16)) as recorder:
        recorder.begin()
        for t in range(length):
            append(recorder, np.full((16, 16, 3), t % 256, np.uint8))
        recorder.end()
    rows = pq.read_table(data_path(tmp_path, 0))["timestamp"].to_numpy()
    with av.open(str(video_path(tmp_path, 0))) as container:
        stream = container.streams.video[0]
        shown = [float(packet.pts * stream.time_base) for packet in container.demux(stream) if packet.pts is not None]
    assert rows.dtype == np.float32 and len(shown) == length and rows[-1] > 2300
    assert np.abs(rows.astype(np.float64) - np.array(shown, np.float32)).max() < 1e-4
    assert Dataset(tmp_path).fps == recorder.info.fps == pytest.approx(fps, rel=1e-5)


def test_one_recorder_at_a_time(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()), pytest.raises(FileError, match="another process is recording"):
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
