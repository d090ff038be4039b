from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import ControlSpec
from worldsim.data import Dataset, Recorder, check, merge
from worldsim.data.format import data_path, video_path
from worldsim.data.tables import read_rows, write_rows
from worldsim.errors import DataError

from .moving_square import info
from .test_recorder import record, tree


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Three recordings of 2, 3 and 1 episodes with seeds 0, 1; 10, 11, 12; 20."""
    roots = []
    for k, seeds in enumerate(((0, 1), (10, 11, 12), (20,))):
        roots.append(tmp_path / f"source-{k}")
        with Recorder(roots[-1], info()) as recorder:
            for seed in seeds:
                record(
                    recorder, 10 + seed, seed=seed, policy=f"p{k}", split="eval" if seed == 11 else "train", begun_at=seed % 10
                )
    return roots


def test_every_episode_is_taken_over_as_it_is(sources: list[Path], tmp_path: Path) -> None:
    before = [tree(root) for root in sources]
    figures = merge(sources, tmp_path / "out", progress=False)
    assert figures == {"episodes": {"eval": 1, "train": 5}, "frames": {"eval": 21, "train": 93}, "added": 6, "skipped": 0}
    whole = Dataset(tmp_path / "out")
    assert [e.seed for e in whole.episodes] == [0, 1, 10, 11, 12, 20]
    assert [e.begun_at for e in whole.episodes] == [0, 1, 0, 1, 2, 0] and whole.episodes[2].policy == "p1"
    pieces = [Dataset(root).episode(i) for root in sources for i in range(len(Dataset(root)))]
    for i, piece in enumerate(pieces):
        for name in ("frames", "actions", "rewards", "terminated"):
            np.testing.assert_array_equal(getattr(whole.episode(i), name), getattr(piece, name))
    assert check(tmp_path / "out", progress=False)["problems"] == []
    assert [tree(root) for root in sources] == before


def test_a_merge_goes_on_and_takes_nothing_twice(sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert merge(sources[:1], out, progress=False)["added"] == 2
    figures = merge([*sources, sources[2]], out, progress=False)
    assert (figures["added"], figures["skipped"]) == (4, 3)
    assert sorted(e.seed or 0 for e in Dataset(out).episodes) == [0, 1, 10, 11, 12, 20]


def test_a_share_of_the_frames_is_held_out(sources: list[Path], tmp_path: Path) -> None:
    figures = merge(sources, tmp_path / "out", eval_share=0.2, progress=False)
    total, held = sum(figures["frames"].values()), figures["frames"]["eval"]
    assert total == 114 and 0.2 * total <= held < 0.2 * total + 30
    other = merge(sources[::-1], tmp_path / "other", eval_share=0.2, progress=False)
    assert other["frames"] == figures["frames"], "in whatever order the sources are given"
    most = merge(sources, tmp_path / "most", eval_share=0.99, progress=False)
    assert most["episodes"]["train"] == 1, "one stays for training"
    again = merge(sources, tmp_path / "out", eval_share=0.9, progress=False)
    assert again["frames"] == figures["frames"], "episodes that are there keep their split"


def test_what_cannot_be_merged_is_refused_before_anything_is_written(sources: list[Path], tmp_path: Path) -> None:
    with Recorder(tmp_path / "odd", info(control_spec=ControlSpec(keys=("w",)))) as recorder:
        record(recorder, 3)
    out = tmp_path / "out"
    with pytest.raises(DataError, match="differs: control_spec"):
        merge([sources[0], tmp_path / "odd"], out, progress=False)
    with pytest.raises(DataError, match="no dataset at"):
        merge([sources[0], tmp_path / "nowhere"], out, progress=False)
    with pytest.raises(DataError, match="sources was empty"):
        merge([], out, progress=False)
    with pytest.raises(DataError, match="give another folder for the result"):
        merge(sources, sources[1], progress=False)
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(DataError, match="above 0 and below 1"):
            merge(sources, out, eval_share=share, progress=False)
    assert not out.exists()
    with pytest.raises(DataError, match="only one episode"):
        merge(sources[2:], out, eval_share=0.5, progress=False)


def test_changed_sources_are_noticed(sources: list[Path], tmp_path: Path) -> None:
    video = video_path(sources[0], 1)
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    video.write_bytes(content)
    with pytest.raises(DataError, match=r"file-001\.mp4 and its rows are not as they were recorded"):
        merge(sources, tmp_path / "out", progress=False)
    assert len(Dataset(tmp_path / "out")) == 1


def problems(root: Path) -> str:
    return "\n".join(check(root, progress=False)["problems"])


def test_a_whole_dataset_has_no_problems(sources: list[Path]) -> None:
    assert check(sources[1], progress=False) == {"episodes": 3, "frames": 63, "problems": []}


def test_other_content_is_found(sources: list[Path]) -> None:
    root = sources[1]
    before = tree(root)
    dataset = Dataset(root)
    rows = read_rows(data_path(root, 0), dataset.info)
    rows.rewards.setflags(write=True) if rows.rewards.flags.owndata else None
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
