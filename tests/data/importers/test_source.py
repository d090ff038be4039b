from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset, DatasetInfo
from worldsim.data.importers import Recording, Row, import_recordings
from worldsim.data.importers.source import thinned
from worldsim.errors import DataError

from ..shift import FPS, HEIGHT, SPEC, WIDTH, check_shift, controls, frames_after

INFO = DatasetInfo("my/game", SPEC, HEIGHT, WIDTH, FPS)


def rows(seed: int, steps: int = 20) -> Iterator[Row]:
    vectors = controls(steps, seed)
    for t, (frame, vector) in enumerate(zip(frames_after(vectors), vectors, strict=True)):
        yield Row(frame, vector, float(t), t == steps - 1)


def test_a_format_of_ones_own_is_a_generator(tmp_path: Path) -> None:
    recordings = [Recording(str(seed), functools.partial(rows, seed), {"seed": seed, "policy": "me"}) for seed in range(3)]
    done = import_recordings(INFO, recordings, tmp_path, progress=False)
    dataset = check_shift(tmp_path)
    assert (
        done.episodes == 3
        and done.frames == 60
        and [(e.seed, e.policy) for e in dataset.episodes] == [(seed, "me") for seed in range(3)]
    )
    assert dataset.rows.terminated.sum() == 3


def test_rows_are_joined_up_to_an_end() -> None:
    def group(*ends: int, count: int = 8) -> list[Row]:
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        vectors = [SPEC.to_vector(Controls(keys={"a"} if t == 1 else set(), mouse=(float(t), -1.0))) for t in range(count)]
        return [Row(frame + np.uint8(t), vectors[t], 1.0, t in ends) for t in range(count)]

    assert [int(row.frame[0, 0, 0]) for row in thinned(group(), SPEC, 3)] == [0, 3]  # two rows are too few for a third
    first, second = thinned(group(), SPEC, 3)
    assert SPEC.from_vector(first.vector) == Controls(keys={"a"}, mouse=(3.0, -3.0)) and first.reward == 3
    assert SPEC.from_vector(second.vector).keys == frozenset()
    ended = list(thinned(group(7), SPEC, 3))
    assert [row.terminated for row in ended] == [False, False, True] and ended[-1].reward == 2
    assert list(thinned(iter([]), SPEC, 3)) == []


def test_what_cannot_be_stored_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    def wrong() -> Iterator[Row]:
        yield Row(np.zeros((4, 4, 3), np.uint8), np.zeros(2, np.float32))

    with pytest.raises(DataError, match=r"'tuesday'.*the last axis must be 5"):
        import_recordings(INFO, [Recording("monday", lambda: rows(0)), Recording("tuesday", wrong)], tmp_path, progress=False)
    assert len(Dataset(tmp_path)) == 1 and not list(tmp_path.rglob("*.tmp")) and not (tmp_path / ".partial").exists()
    done = import_recordings(INFO, [Recording("nothing", lambda: iter([]))], tmp_path, progress=False)
    assert (done.episodes, done.empty) == (0, 1)


def test_stopping_keeps_what_is_whole(tmp_path: Path) -> None:
    def stopped() -> Iterator[Row]:
        yield from rows(1, 5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_recordings(INFO, [Recording("a", lambda: rows(0)), Recording("b", stopped)], tmp_path, progress=False)
    assert Dataset(tmp_path).lengths.tolist() == [20] and not (tmp_path / ".partial").exists()
