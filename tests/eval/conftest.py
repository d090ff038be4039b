"""A recorded dataset that fits the tiny world; its pictures tell which row of which episode they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_SPEC

from worldsim.data import Dataset, DatasetInfo, Recorder

LENGTHS = (20, 9, 14)  # the first ends the game, the others are cut off


def record(root: Path, lengths: Sequence[int] = LENGTHS) -> Path:
    """Grey 80 * episode + 4 * row, mouse dx = row, reward = 100 * episode + row."""
    info = DatasetInfo("test/tiny", TINY_SPEC, height=32, width=48, fps=17.5, frame_skip=2, lossless=True)
    with Recorder(root, info) as recorder:
        for episode, length in enumerate(lengths):
            recorder.begin(seed=episode, split="eval")
            for row in range(length):
                frame = np.full((32, 48, 3), 80 * episode + 4 * row, np.uint8)
                vector = np.array([row % 2, 0, row, 0, 0], np.float32)
                last = row == length - 1
                recorder.append(frame, vector, 100 * episode + row, last and episode == 0, last and episode > 0)
            recorder.end()
    return root


@pytest.fixture(scope="session")
def recorded_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def recorded(recorded_path: Path) -> Dataset:
    return Dataset(recorded_path, "eval")
