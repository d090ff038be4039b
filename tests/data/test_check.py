from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from worldsim.data import Dataset
from worldsim.data.check import check
from worldsim.data.format import data_path, video_path
from worldsim.data.tables import read_rows, write_rows

from .recording import tree


def problems(root: Path) -> str:
    return "\n".join(check(root, progress=False)["problems"])


def test_a_whole_dataset_has_no_problems(sources: list[Path]) -> None:
    assert check(sources[1], progress=False) == {"episodes": 3, "frames": 63, "problems": []}


def test_older_recordings_are_decoded(sources: list[Path]) -> None:
    for path in (sources[1] / "meta/episodes/chunk-000").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["content_hash"]), path)
    assert check(sources[1], progress=False)["problems"] == []
    video = video_path(sources[1], 2)
    content = bytearray(video.read_bytes())
    content[40:-2000] = bytes(len(content) - 2040)
    video.write_bytes(content)
    assert "file-002.mp4 is damaged" in problems(sources[1])


def test_other_content_is_found(sources: list[Path]) -> None:
    root = sources[1]
    before = tree(root)
    dataset = Dataset(root)
    rows = read_rows(data_path(root, 0), dataset.info)
    changed = type(rows)(rows.actions, rows.rewards + 1, rows.terminated, rows.truncated, rows.states)
    write_rows(data_path(root, 0), changed, dataset.episodes[0], dataset.info)
    assert "episode 0 is not as it was recorded" in problems(root) and problems(root).count("\n") == 0
    assert {name for name in before if before[name] != tree(root)[name]} == {"data/chunk-000/file-000.parquet"}


def test_swapped_and_missing_videos_are_found(sources: list[Path]) -> None:
    root = sources[1]
    video_path(root, 1).replace(video_path(root, 0))
    found = problems(root)
    assert "episode 0 has 21 frames, 20 rows, and 20 by its metadata" in found
    assert "file-001.mp4 is damaged or missing (no such file)" in found


def test_stale_totals_and_leftovers_are_found(sources: list[Path]) -> None:
    root = sources[1]
    (root / "meta/episodes/chunk-000/file-000.parquet").unlink()
    (root / "meta/.info.json.0123abcd.worldsim-tmp").touch()
    found = problems(root)
    for text in ("episode 1 begins at row 20 instead of 0", "says total_episodes 3, there are 2", "file-000.mp4 belongs to no"):
        assert text in found
    assert "worldsim-tmp belongs to no finished episode" in found
