"""What a dataset covers, in figures and in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worldsim.data import Dataset
from worldsim.data.collect import collect
from worldsim.data.coverage import coverage, format_coverage

from .moving_square import EVAL_FRAMES, POLICIES, MovingSquare


def test_coverage(tmp_path: Path) -> None:
    options: dict[str, Any] = {"game": "square", "progress": False, "state": ("x",), "cells": {"x": 64.0}}
    figures = collect(MovingSquare, POLICIES[:1], tmp_path, frames=300, eval_frames=EVAL_FRAMES, **options)
    dataset = Dataset(tmp_path)
    assert figures["episodes"] == {"eval": len(Dataset(tmp_path, "eval")), "train": len(Dataset(tmp_path, "train"))}
    assert figures["policies"] == {"random": len(dataset)}
    assert figures["held"]["mouse.left"] == 1.0 and 0.35 < figures["held"]["a"] < 0.65
    assert sum(figures["mouse_dx"]["share"]) == pytest.approx(1.0)
    assert figures["cells"] == {"visited": 1, "size": {"x": 64.0}}
    assert figures["end_rate"] == pytest.approx(dataset.rows.terminated.mean())
    moved = dataset.rows.actions[:, 0] != dataset.rows.actions[:, 1]
    assert figures["still_share"] == pytest.approx(1 - moved.mean(), abs=0.1)
    assert f"train: {figures['episodes']['train']} episodes" in format_coverage(figures)
    again = coverage(dataset, {"x": 64.0})
    assert again == {name: figures[name] for name in again}
    assert "cells" not in coverage(dataset) and "cells" not in coverage(dataset, {"y": 64.0})
    assert coverage(dataset, {"x": 1.0})["cells"]["visited"] > 10


def test_words() -> None:
    figures: dict[str, Any] = {
        "episodes": {"train": 2},
        "frames": {"train": 40},
        "policies": {"random": 2},
        "cells": {"visited": 3, "size": {"x": 64.0, "y": 32.5}},
        "held": {"a": 0.25},
        "mouse_dx": {"edges": [-1.0, 0.0, 1.0], "share": [0.75, 0.25]},
        "still_share": 0.5,
        "still_sample": 38,
        "end_rate": 0.05,
        "mean_reward": 1.5,
    }
    assert format_coverage(figures).splitlines() == [
        "train: 2 episodes, 40 frames",
        "policies: random 2",
        "cells of 64 in x by 32.5 in y visited: 3",
        "held: a 25.0%",
        "mouse dx: -1.0..+0.0 75.0%, +0.0..+1.0 25.0%",
        "near-static frames: 50.0% of 38 sampled",
        "terminations per step: 0.05000; mean reward: 1.5000",
    ]
