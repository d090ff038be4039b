from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.evaluate import JOINS, Held, format_joins, measure_joins
from worldsim.studio.figures import interval, psnr
from worldsim.studio.pipeline import Studio


def test_every_join_is_measured_beside_its_baseline(studio: Studio, tmp_path: Path) -> None:
    clips = np.random.default_rng(0).integers(0, 255, (2, 19, 32, 48, 3), np.uint8)
    held = Held(clips, np.zeros((2, 19, 5), np.float32), usual=80.0)
    figures = measure_joins(studio, held, StudioEvalConfig(clips=2, frames=3, num_steps=1), tmp_path)
    assert list(figures) == list(JOINS)
    for task, join in JOINS.items():
        assert ("psnr" in figures[task]) == join.truth and figures[task]["seam"]["value"] > 0
    assert figures["extend after"]["baseline_seam"]["value"] == 0, "a frame that is repeated does not change"
    assert len(list(tmp_path.glob("*.png"))) == len(JOINS)
    assert len(format_joins(figures).splitlines()) == len(JOINS) + 1


def test_intervals_hold_their_value() -> None:
    for values in ([1.0, 2.0, 5.0], [0.0, 1.0, 1.0, 1.0]):
        found = interval(values)
        assert found["low"] <= found["value"] <= found["high"]
    assert interval([0.0, 1.0, 1.0, 1.0])["value"] == 0.75


def test_psnr_of_some_frames() -> None:
    one, other = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)
    other[1] = 255
    assert psnr(one, other, np.array([False, True])) == 0
    assert psnr(one, other, np.array([True, False])) > 70
