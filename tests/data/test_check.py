from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from worldsim.data import Dataset, Recorder
from worldsim.data.check import check, repair
from worldsim.data.format import data_path, video_path
from worldsim.data.tables import hash_episode, read_rows, write_rows

from .moving_square import info
from .recording import record, tree


def problems(root: Path) -> str:
    return "\n".join(check(root, progress=False)["problems"])


def test_a_whole_dataset_has_no_problems(sources: list[Path]) -> None:
    assert check(sources[1], progress=False) == {"episodes": 3, "frames": 63, "problems": [], "damaged": []}


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


def test_every_row_is_compared_with_its_frame(tmp_path: Path) -> None:
    """A video that has the right number of frames by its index and the right hash, but cannot be decoded."""
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 20)
    video, path = video_path(tmp_path, 0), tmp_path / "meta/episodes/chunk-000/file-000.parquet"
    content = bytearray(video.read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4  # the pictures; what follows says where they are
    content[begin:end] = bytes(end - begin)
    video.write_bytes(content)
    table, rows = pq.read_table(path), read_rows(data_path(tmp_path, 0), info())
    column = table.column_names.index("content_hash")
    pq.write_table(table.set_column(column, "content_hash", pa.array([hash_episode(video, rows)])), path)
    assert check(tmp_path, quick=True, progress=False)["problems"] == []
    found = check(tmp_path, progress=False)
    assert "file-000.mp4 is damaged" in found["problems"][0] and found["damaged"] == [0]


def test_lossless_frames_are_compared_with_their_hash(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(lossless=True)) as recorder:
        record(recorder, 5)
    assert check(tmp_path, progress=False)["problems"] == []
    path = tmp_path / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("frames_hash"), "frames_hash", pa.array(["0" * 64])), path)
    assert "other frames than were recorded" in problems(tmp_path)


def test_repair_moves_aside_what_is_damaged_and_deletes_nothing(sources: list[Path]) -> None:
    root = sources[1]
    (root / "notes.txt").write_text("mine")
    (root / "data/chunk-000/file-000 (copy).parquet").write_text("mine too")
    (root / "meta/.info.json.0123abcd.worldsim-tmp").touch()
    video = video_path(root, 0)
    video.write_bytes(video.read_bytes()[:-100])
    (root / "meta/episodes/chunk-000/file-001.parquet").write_bytes(b"no parquet")
    before = tree(root)
    found = check(root, progress=False)
    assert found["damaged"] == [0, 1]
    done = repair(root, found["damaged"])
    assert any("episode 0: 3 files moved" in line for line in done) and any("counted anew: 1 episodes" in line for line in done)
    after = tree(root)
    assert check(root, progress=False)["problems"] == [] and len(Dataset(root)) == 1
    names = {name for name in before if "worldsim-tmp" not in name}
    assert all(name in after or f"orphans/{name}" in after for name in names), "every file is there still, somewhere"
    assert after["notes.txt"] == b"mine" and after["data/chunk-000/file-000 (copy).parquet"] == b"mine too"
    assert after["orphans/meta/episodes/chunk-000/file-001.parquet"] == b"no parquet"
