"""A small recorded game: a square that the keys move across the screen, and that ends an episode at the right edge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from processes import Processes

from worldsim.controls import ControlSpec
from worldsim.data import DatasetInfo, Recorder

SPEC = ControlSpec(keys=("a", "d"), exclusive=(("a", "d"),))


def record_square(root: Path, episodes: int = 6, length: int = 24) -> Path:
    """Episode `e` holds "d" when `e` is even, otherwise random keys; the reward is the square's motion."""
    info = DatasetInfo(game="test/square", control_spec=SPEC, height=32, width=32, fps=10.0, frame_skip=1, lossless=True)
    with Recorder(root, info) as recorder:
        for e in range(episodes):
            recorder.begin(seed=e, policy="test", split="eval" if e < 2 else "train")
            rng, place = np.random.default_rng(e), 4
            for t in range(length):
                move = 1 if e % 2 == 0 else int(rng.integers(-1, 2))
                frame = np.zeros((32, 32, 3), np.uint8)
                frame[12:20, place : place + 6] = 255
                place = int(np.clip(place + move, 0, 26))
                last = t == length - 1
                vector = np.array([move < 0, move > 0], np.float32)
                recorder.append(frame, vector, float(move), last and e % 2 == 0, last and e % 2 == 1)
            recorder.end()
    return root


@pytest.fixture(scope="session")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_square(tmp_path_factory.mktemp("square") / "data")


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Processes that train together."""
    started = Processes()
    yield started
    started.end()
