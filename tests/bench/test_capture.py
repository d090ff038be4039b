from __future__ import annotations

import shutil

import numpy as np
import pytest

from worldsim.bench.capture import Sent, bench_capture, format_capture, seen_lags
from worldsim.bench.config import CaptureBenchConfig

TOOLS = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
needs_tools = pytest.mark.skipif(bool(TOOLS), reason=f"needs {', '.join(TOOLS)}; install: sudo apt install xvfb xdotool")


def test_the_first_picture_that_shows_a_key_is_found() -> None:
    look = {"1": 10, "2": 90, "3": 200}
    shown = [*"1111", *"2222", *"3333", *"1111", *"2222"]
    frames = np.array([[[[look[key]] * 3]] for key in shown], np.uint8)
    presses = [(Sent(0.0, "1", 1), 0), (Sent(0.0, "2", 1), 3), (Sent(0.0, "3", 1), 6), (Sent(0.0, "1", 1), 11)]
    assert seen_lags(frames, [*presses, (Sent(0.0, "2", 1), 16)]) == [1, 2, 1, 0]


@needs_tools
def test_inputs_of_another_program_lie_in_the_right_rows() -> None:
    for library in ("Xlib", "mss"):
        pytest.importorskip(library)
    figures = bench_capture(CaptureBenchConfig("toy", inputs=12, presses=6, settle=0.5, toy_delay_ms=60.0))
    assert figures["inputs"] == 33 and figures["in_right_row"] > 0.9
    assert figures["pictures"]["presses"] == 11 and "inputs are in the right row" in format_capture(figures)


@pytest.mark.slow
@needs_tools
@pytest.mark.skipif(
    shutil.which("minetest", path="/usr/games:/usr/bin") is None, reason="needs minetest; install: sudo apt install minetest"
)
def test_inputs_of_a_real_game_lie_in_the_right_rows() -> None:
    for library in ("Xlib", "mss"):
        pytest.importorskip(library)
    figures = bench_capture(CaptureBenchConfig("minetest", inputs=24, presses=8))
    assert figures["inputs"] == 66 and figures["in_right_row"] > 0.95 and figures["pictures"]["within_one_frame"] > 0.8
