from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from worldsim.capture.config import CaptureConfig
from worldsim.errors import DisplayError

Toy = subprocess.Popen[bytes]


def test_the_delay_of_a_program_is_found_and_kept(toy: Toy, tmp_path: Path) -> None:
    from worldsim.capture.calibrate import calibrate, format_delay
    from worldsim.capture.session import known_delay

    config = CaptureConfig("toy window", out=tmp_path / "d", calibrate=True, press=("1", "5"), presses=6)
    assert known_delay(config) is None
    figures = calibrate(config)
    assert figures["seen"] >= 5 and 60 <= figures["delay_ms"] < 160, "the toy waits 60 ms"
    assert known_delay(config) == figures["delay_ms"] / 1000 and "presses seen" in format_delay(figures)
    assert json.loads((tmp_path / "d/meta/capture.json").read_text())["window"] == "worldsim toy window"
    assert known_delay(CaptureConfig("toy window", out=tmp_path / "d", delay_ms=5.0)) == 0.005


def test_keys_that_change_nothing_are_named(toy: Toy, tmp_path: Path) -> None:
    from worldsim.capture.calibrate import calibrate

    with pytest.raises(DisplayError, match="the picture changed after 0 of 4 presses of a"):
        calibrate(CaptureConfig("toy window", out=tmp_path / "d", calibrate=True, press=("a",), presses=4))
    assert not (tmp_path / "d").exists()
