from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.data import DatasetInfo, Recorder
from worldsim.data.check import check
from worldsim.envs.games.studio import CONTROLS, KINDS, STATES
from worldsim.errors import DataError
from worldsim.studio.captioning import CAPTIONS_PATH, Captions, caption_all, caption_dataset, datasets_in, segments
from worldsim.studio.captions import LENGTHS


def make(root: Path, lengths: tuple[int, ...] = (40, 9), state: tuple[str, ...] = STATES) -> Path:
    """A dataset of noise in which an imp goes from left to right."""
    rng = np.random.default_rng(0)
    with Recorder(root, DatasetInfo("doom/studio", CONTROLS, 16, 16, 8.75, 4, state=state)) as recorder:
        for seed, length in enumerate(lengths):
            recorder.begin(seed=seed, place="take-cover")
            for t in range(length):
                values = np.zeros(len(state), np.float32)
                named = {"place": 1.0, "object0.kind": KINDS.index("imp"), "object0.x": t / length, "object0.height": 0.3}
                named |= {f"object{slot}.kind": -1 for slot in range(1, 6)}
                for name, value in named.items():
                    if name in state:
                        values[state.index(name)] = value
                recorder.append(rng.integers(0, 255, (16, 16, 3), np.uint8), np.zeros(CONTROLS.size), 0.0, False, False, values)
            recorder.end()
    return root


@pytest.mark.parametrize(
    ("length", "expected"),
    [(5, [(0, 5)]), (16, [(0, 16)]), (24, [(0, 24)]), (25, [(0, 16), (16, 25)]), (40, [(0, 16), (16, 40)])],
)
def test_segments_cover_an_episode(length: int, expected: list[tuple[int, int]]) -> None:
    assert segments(length) == expected


def test_every_segment_has_captions_of_each_level(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    assert caption_dataset(root, progress=False) == 3 * 3 * 2
    table = pq.read_table(root / CAPTIONS_PATH).to_pylist()
    assert {(row["episode"], row["start"], row["stop"]) for row in table} == {(0, 0, 16), (0, 16, 40), (1, 0, 9)}
    assert sorted({row["level"] for row in table}) == list(LENGTHS) and len({row["text"] for row in table}) == len(table)
    assert not check(root, progress=False)["problems"]


def test_captions_are_true_of_their_frames_and_repeat_with_the_seed(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    caption_dataset(root, progress=False)
    captions, rng = Captions(root), np.random.default_rng(0)
    assert any(word in captions.at(0, 3, rng, 3) for word in ("left",)) and "right" in captions.at(0, 39, rng, 3)
    low, high = LENGTHS[1]
    assert low <= len(captions.at(1, 8, rng, 1).split()) <= high
    before = (root / CAPTIONS_PATH).read_bytes()
    caption_dataset(root, progress=False)
    assert (root / CAPTIONS_PATH).read_bytes() == before
    caption_dataset(root, seed=1, progress=False)
    assert (root / CAPTIONS_PATH).read_bytes() != before


def test_no_two_captions_of_several_datasets_are_alike(tmp_path: Path) -> None:
    roots = [make(tmp_path / name) for name in ("a", "b")]
    assert datasets_in(tmp_path) == roots and datasets_in(roots[0]) == roots[:1]
    figures = caption_all(roots, progress=False)
    assert figures[str(roots[0])] == {"episodes": 2, "frames": 49, "captions": 18}
    texts = [row["text"] for root in roots for row in pq.read_table(root / CAPTIONS_PATH).to_pylist()]
    assert len(set(texts)) == len(texts)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="records no 'place'"):
        caption_dataset(make(tmp_path / "plain", state=("x",)), progress=False)
    with pytest.raises(DataError, match=r"captions\.parquet cannot be read .* make it with worldsim studio captions"):
        Captions(tmp_path / "plain")
    with pytest.raises(DataError, match="no dataset at"):
        datasets_in(tmp_path / "nowhere")
    root = make(tmp_path / "data")
    caption_dataset(root, progress=False)
    with pytest.raises(DataError, match="episode 7 has no caption at frame 0"):
        Captions(root).at(7, 0, np.random.default_rng(0))
    with pytest.raises(DataError, match="no caption of level 5"):
        Captions(root).at(0, 0, np.random.default_rng(0), 5)
