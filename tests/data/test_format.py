from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.data import Dataset, Recorder
from worldsim.data.format import data_path, video_path
from worldsim.errors import DataError

from .moving_square import info
from .recording import append, record


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


def test_an_episode_begun_late_is_not_replayable(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        for labels in ({"seed": 3}, {"seed": 3, "begun_at": 20}, {}):
            recorder.begin(**labels)  # type: ignore[arg-type]
            append(recorder)
            recorder.end()
    assert [(e.begun_at, e.replayable) for e in Dataset(tmp_path).episodes] == [(0, True), (20, False), (0, False)]
