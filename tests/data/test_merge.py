from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import ControlSpec
from worldsim.data import Dataset, Recorder
from worldsim.data.check import check
from worldsim.data.format import video_path
from worldsim.data.merge import merge
from worldsim.errors import DataError

from .moving_square import info
from .recording import record, tree


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
