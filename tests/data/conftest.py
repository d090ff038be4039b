"""Recordings that several data tests start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.data import Recorder

from .moving_square import info
from .recording import record


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
