from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from av.video.stream import VideoStream

from worldsim.data import Dataset, Recorder
from worldsim.data.format import data_path, episode_path, video_path
from worldsim.errors import DataError

from .moving_square import SPEC, info

LENGTHS = (20, 3, 1, 33, 8)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose every frame, action and reward tells its episode and row."""
    root = tmp_path_factory.mktemp("numbered")
    with Recorder(root, info(lossless=True)) as recorder:
        for e, length in enumerate(LENGTHS):
            recorder.begin(seed=e, split="eval" if e == 3 else "train")
            for t in range(length):
                frame = np.empty(recorder.info.frame_shape, np.uint8)
                frame[:] = (10 * e, 5 * t, 77)
                action = np.array([t % 2, e % 2, t / 4, 0, 1])
                recorder.append(frame, action, 100 * e + t, t == length - 1 and e != 4, t == length - 1 and e == 4)
            recorder.end()
    return root


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A dataset of two episodes that a test may damage."""
    with Recorder(tmp_path, info()) as recorder:
        for seed in range(2):
            recorder.begin(seed=seed)
            for _ in range(40):
                pixels = np.random.default_rng(seed).integers(0, 256, recorder.info.frame_shape, dtype=np.uint8)
                recorder.append(pixels, np.zeros(SPEC.size), 0.0, False, False)
            recorder.end()
    return tmp_path


def test_episodes_are_listed(numbered: Path) -> None:
    dataset = Dataset(numbered)
    assert (len(dataset), dataset.total_frames, dataset.fps, dataset.frame_shape) == (5, sum(LENGTHS), 17.5, (32, 32, 3))
    assert dataset.spec == SPEC
    np.testing.assert_array_equal(dataset.lengths, LENGTHS)
    assert [episode.seed for episode in dataset.episodes] == [0, 1, 2, 3, 4]
    assert [episode.seed for episode in Dataset(numbered, "eval").episodes] == [3]
    assert [episode.seed for episode in Dataset(numbered, "train").episodes] == [0, 1, 2, 4]


@pytest.mark.parametrize(("start", "stop"), [(0, 33), (0, 1), (15, 16), (16, 17), (15, 33), (32, 33), (31, 33), (7, 7)])
def test_any_range_of_frames(numbered: Path, start: int, stop: int) -> None:
    frames = Dataset(numbered).frames(3, start, stop)
    assert frames.shape == (stop - start, 32, 32, 3)
    np.testing.assert_array_equal(frames[:, 5, 9], [(30, 5 * t, 77) for t in range(start, stop)] or np.zeros((0, 3)))


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 34), (5, 4)])
def test_ranges_outside_the_episode(numbered: Path, start: int, stop: int) -> None:
    with pytest.raises(DataError, match="it has 33"):
        Dataset(numbered).frames(3, start, stop)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_of_clips_is_flat(numbered: Path) -> None:
    """A leak shows in every stretch; what the allocator keeps for later does not."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    dataset = Dataset(numbered)
    sizes = []
    for _ in range(4):
        for t in range(40):
            dataset.clips([0, 3] * 8, [t % 12] * 16, 8)
        sizes.append(resident())
    assert min(np.diff(sizes)) < 4 << 20  # 40 batches are 16 MB, 640 open files more


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset at .*nowhere.*worldsim collect"):
        Dataset(tmp_path / "nowhere")


def test_split_without_episodes(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DataError, match=r"no episode of split eval \(only train\)"):
        Dataset(small, "eval")
    empty = tmp_path_factory.mktemp("empty")
    Recorder(empty, info()).close()
    with pytest.raises(DataError, match="no finished episode"):
        Dataset(empty)


def test_truncated_video(small: Path) -> None:
    path = video_path(small, 1)
    path.write_bytes(path.read_bytes()[:-200])
    dataset = Dataset(small)
    assert len(dataset.frames(0)) == 40
    with pytest.raises(DataError, match=r"file-001\.mp4 is damaged or missing.*collect again"):
        dataset.frames(1)


def test_video_of_another_episode(small: Path) -> None:
    with Recorder(small, info()) as recorder:
        recorder.begin()
        recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
        recorder.end()
    video_path(small, 2).replace(video_path(small, 1))
    dataset = Dataset(small)
    with pytest.raises(DataError, match=r"file-001\.mp4 .*it has 1 frames, its rows are 40"):
        dataset.frames(1)
    with pytest.raises(DataError, match=r"file-002\.mp4 is damaged or missing"):
        dataset.frames(2)


def test_truncated_rows(small: Path) -> None:
    path = data_path(small, 0)
    path.write_bytes(path.read_bytes()[:300])
    dataset = Dataset(small)
    assert len(dataset.episode(1).rewards) == 40
    with pytest.raises(DataError, match=r"data/chunk-000/file-000\.parquet is damaged or missing.*meta/episodes"):
        dataset.episode(0)
    with pytest.raises(DataError, match=r"file-000\.parquet"):
        dataset.clips(1, 0, 2)


def test_truncated_metadata(small: Path) -> None:
    path = episode_path(small, 1)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"meta/episodes/chunk-000/file-001\.parquet is damaged"):
        Dataset(small)
    path.unlink()
    assert len(Dataset(small)) == 1


@pytest.mark.parametrize(
    ("column", "value"), [("length", None), ("length", 0), ("episode_index", -1), ("split", "test"), ("policy", 3)]
)
def test_impossible_metadata(small: Path, column: str, value: Any) -> None:
    path = episode_path(small, 1)
    table = pq.read_table(path)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array([value])), path)
    with pytest.raises(DataError, match=r"meta/episodes/chunk-000/file-001\.parquet is damaged"):
        Dataset(small)


def test_damaged_or_newer_info(small: Path) -> None:
    path = small / "meta/info.json"
    content = json.loads(path.read_text())
    path.write_text(path.read_text()[:50])
    with pytest.raises(DataError, match=r"info\.json is damaged"):
        Dataset(small)
    path.write_text(json.dumps(content | {"worldsim": {**content["worldsim"], "format_version": 99}}))
    with pytest.raises(DataError, match="has format 99"):
        Dataset(small)
    del content["worldsim"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="no 'worldsim' part"):
        Dataset(small)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "holds a JSON list"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"worldsim": 3}', "no 'worldsim' part"),
        (b'{"worldsim": {"format_version": 1}}', "is damaged"),
        (
            b'{"worldsim": {"format_version": 1, "control_spec": [], "game": "a", "height": 1, "width": 1}, "fps": 1}',
            "is damaged",
        ),
    ],
)
def test_an_info_file_that_is_something_else(small: Path, content: bytes, message: str) -> None:
    (small / "meta/info.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"info\.json.*{message}"):
        Dataset(small)


def test_impossible_sizes_in_the_info_file(small: Path) -> None:
    path = small / "meta/info.json"
    content = json.loads(path.read_text())
    for name, value in (("height", 10**9), ("height", "32"), ("frame_skip", None), ("game", 3)):
        path.write_text(json.dumps(content | {"worldsim": {**content["worldsim"], name: value}}))
        with pytest.raises(DataError, match=f"{name} was"):
            Dataset(small)


def test_copies_of_files_are_no_episodes(small: Path) -> None:
    for at in (episode_path, data_path, video_path):
        path = at(small, 0)
        for name in (f"file-000 (copy){path.suffix}", f"file-0001{path.suffix}", f"file-{path.suffix}", f"file-٣٤٥{path.suffix}"):
            (path.parent / name).write_bytes(path.read_bytes())
    assert len(Dataset(small)) == 2


def test_folders_whose_name_has_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Recorder("run:1", info()) as recorder:
        recorder.begin()
        recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
        recorder.end()
    assert len(Dataset("run:1").episode(0).frames) == 1


@pytest.mark.parametrize("kind", ["pipe", "playlist", "avi", "folder"])
def test_nothing_but_mp4_is_opened(small: Path, kind: str) -> None:
    path = video_path(small, 1)
    if kind == "avi":
        with av.open(str(path.with_suffix(".avi")), "w", format="avi") as target:
            stream = target.add_stream("mpeg4", rate=10)
            assert isinstance(stream, VideoStream)
            stream.height = stream.width = 32
            for packet in [*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)]:
                target.mux(packet)
        path.with_suffix(".avi").replace(path)
    else:
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)  # opening it would wait for ever
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_text(f"ffconcat version 1.0\nfile '{video_path(small, 0)}'\n")
    with pytest.raises(DataError, match=r"file-001\.mp4 is damaged or missing"):
        Dataset(small).frames(1)


def test_a_video_of_more_frames_than_rows(small: Path) -> None:
    with Recorder(small, info()) as recorder:
        recorder.begin()
        for _ in range(41):
            recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
        recorder.end()
    video_path(small, 2).replace(video_path(small, 1))
    with pytest.raises(DataError, match=r"file-001\.mp4 .*it has 41 frames, its rows are 40"):
        Dataset(small).frames(1, 0, 5)


def test_the_fingerprint_names_content(tmp_path: Path) -> None:
    def made(name: str, grey: int = 50, reward: float = 0.0, seed: int = 1, episodes: int = 1) -> str:
        with Recorder(tmp_path / name, info()) as recorder:
            for _ in range(episodes):
                recorder.begin(seed=seed)
                for _ in range(20):
                    frame = np.full(recorder.info.frame_shape, grey, np.uint8)
                    recorder.append(frame, np.zeros(SPEC.size), reward, False, False)
                recorder.end()
        return Dataset(tmp_path / name).fingerprint

    first = made("a")
    assert made("same") == first
    assert len({first, made("b", grey=51), made("c", reward=1.0), made("d", seed=2), made("e", episodes=2)}) == 5
    path = video_path(tmp_path / "a", 0)
    path.write_bytes(path.read_bytes() + b"\0")
    assert Dataset(tmp_path / "a").fingerprint != first, "another size is noticed without reading the file"


def test_stale_totals_are_not_believed(small: Path) -> None:
    path = small / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_episodes": 0, "total_frames": 0, "splits": {}}))
    assert Dataset(small).total_frames == 80
