from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import worldsim.studio
from worldsim.errors import WorldError
from worldsim.studio.attributes import Judge
from worldsim.studio.detector import PIXELS, WEIGHTS, Detector, DetectorNet, scaled

SHIPPED = Path(worldsim.studio.__file__).parent


def test_the_detector_that_ships_is_small_and_scores_clips_of_any_size() -> None:
    assert (SHIPPED / WEIGHTS).stat().st_size < 300_000
    detector, rng = Detector.load(), np.random.default_rng(0)
    for size in ((64, 96), (256, 384), (40, 30), (17, 200)):
        assert np.isfinite(detector.score(rng.integers(0, 255, (70, *size, 3), np.uint8)))


def test_defaults_of_the_user_change_nothing() -> None:
    clip = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
    score, places = Detector.load().score(clip), Judge.load()(clip[None]).places
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            assert Detector.load().score(clip) == score and np.array_equal(Judge.load()(clip[None]).places, places)
    finally:
        torch.set_default_dtype(torch.float32)


def test_frames_are_scaled_to_the_size_it_learned_from() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), np.uint8)
    small, large = scaled(frames), scaled(frames.repeat(4, 1).repeat(4, 2))
    assert small.shape == large.shape and abs(small.shape[2] * small.shape[3] - PIXELS) < 300
    assert (small - large).abs().mean() < 0.06


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = DetectorNet()
    net.threshold.fill_(1.5)
    Detector(net).save(tmp_path / "a.safetensors")
    loaded, clip = Detector.load(tmp_path / "a.safetensors"), np.full((3, 32, 48, 3), 90, np.uint8)
    assert loaded.threshold == 1.5 and loaded.score(clip) == pytest.approx(Detector(net).score(clip), abs=0.02)
    (tmp_path / "b.safetensors").write_bytes(b"junk")
    with pytest.raises(WorldError, match=r"b\.safetensors"):
        Detector.load(tmp_path / "b.safetensors")
    with pytest.raises(WorldError, match="holds no detector of this version; train one with worldsim studio detector"):
        Detector.load(SHIPPED / "judge.safetensors")
