from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from worldsim.cli.app import main
from worldsim.studio.detecting import auroc, format_measured, measure, real_clips, sharpness, train_detector
from worldsim.studio.dreamed import FILES, LENGTH, Pair


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldsim.studio.detector.PIXELS", 24 * 32)  # so that training takes seconds


def pairs(count: int, seed: int = 0) -> list[Pair]:
    """Real clips have a texture, dreamed ones none."""
    rng, made = np.random.default_rng(seed), []
    for n in range(count):
        smooth = np.full((LENGTH, 32, 48, 3), rng.integers(95, 105, 3), np.uint8)
        real = smooth + rng.integers(0, 60, smooth.shape, np.uint8)
        made.append(Pair(real, smooth + 30, n % 2 == 1, 8.75))
    return made


def test_a_detector_learns_to_tell_dreams() -> None:
    detector, held_out = train_detector(pairs(7), steps=40, progress=False), pairs(4, seed=1)
    figures = measure(detector, held_out, [pair.real for pair in held_out])
    for how in FILES:
        row = figures["files"][how]
        assert row["auroc"] == row["sharpness"] == 1, how
    assert figures["pairs"] == figures["real"] == 4
    text = format_measured(figures)
    assert "4 dreamed and as many real clips of 8 frames" in text and "of 4 real clips from all recordings called dreamed" in text


def test_auroc_and_sharpness() -> None:
    assert auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1 and auroc(np.zeros(3), np.zeros(2)) == 0.5
    assert auroc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
    one = pairs(1)[0]
    assert sharpness(one.real) > 5 * sharpness(one.dreamed)


def test_real_clips_are_spread_over_the_recordings(captioned: Path) -> None:
    clips = real_clips([captioned / "48x32"], 3)
    assert [clip.shape for clip in clips] == [(LENGTH, 32, 48, 3)] * 3
    assert len(real_clips([captioned / "48x32"], 99)) == 4


def test_the_command_trains_and_measures_again(
    tiny_studio_path: Path, captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "detector.safetensors", tmp_path / "a.json"
    about = ["--data", str(captioned), "--eval-data", str(captioned), "--world", str(tiny_studio_path), "--clips", "3"]
    main(["studio", "detector", *about, "--eval-clips", "2", "--steps", "2", "--out", str(out), "--json", str(figures)])
    written = json.loads(figures.read_text())
    assert written["world"] == "test/studio" and written["pairs"] == 2 and written["real"] == 4 and written["machine"]["cpu"]
    weights = out.read_bytes()
    main(["studio", "detector", *about, "--eval-clips", "2", "--steps", "0", "--out", str(out), "--json", str(figures)])
    assert out.read_bytes() == weights and json.loads(figures.read_text())["files"] == written["files"]
    assert capsys.readouterr().out.count("2 dreamed and as many real clips") == 2
