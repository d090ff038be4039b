from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim.bench import display
from worldsim.bench.config import LatencyConfig
from worldsim.bench.display import INSTALL, Watch, check_display, virtual_screen
from worldsim.bench.latency import Line, bench_latency, format_latencies, time_presses
from worldsim.cli import main
from worldsim.errors import DisplayError, GameError, WorldError, WorldsimError


def problem() -> str | None:
    try:
        check_display()
    except DisplayError as error:
        return str(error)
    return None


MISSING = problem()
needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium; install: sudo apt install chromium")
needs_screen = pytest.mark.skipif(MISSING is not None, reason=f"{MISSING}; install: {INSTALL.partition(': ')[2]}")


@needs_screen
def test_a_key_is_timed_until_it_shows(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "latency.json"
    options = ["--key", "d", "--presses", "5", "--sources", "dream", "--device", "cpu", "--runtime", "torch"]
    main(["bench", "latency", str(tiny_world_path), *options, "--json", str(out)])
    (result,) = json.loads(out.read_text())["results"]
    assert result["presses"] == 5 and result["source"] == "dream" and result["key"] == "d"
    times = result["milliseconds"]
    assert 0 < times["p50"] <= times["p90"] <= times["p99"]
    assert result["frames"]["p50"] == pytest.approx(times["p50"] * result["fps"] / 1e3)
    assert "p99 frames" in capsys.readouterr().out


@pytest.mark.slow
@needs_screen
@needs_browser
def test_a_key_is_timed_in_a_browser(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "latency.json"
    options = ["--key", "d", "--presses", "5", "--browser", "--device", "cpu", "--runtime", "torch"]
    main(["bench", "latency", str(tiny_world_path), *options, "--json", str(out)])
    (result,) = json.loads(out.read_text())["results"]
    assert result["presses"] == 5 and result["shown"] == "browser" and result["source"] == "dream"
    assert 0 < result["milliseconds"]["p50"] <= result["milliseconds"]["p99"]


@needs_screen
def test_the_screen_shows_what_a_program_draws_and_sends_it_keys() -> None:
    code = (
        "import pygame\npygame.display.init()\nscreen = pygame.display.set_mode((200, 100))\nwhile True:\n"
        "    keys = [e for e in pygame.event.get() if e.type == pygame.KEYDOWN]\n"
        "    screen.fill((0, 0, 250) if not keys else (250, 0, 0))\n    pygame.display.flip()\n"
        "    if keys: print(pygame.key.name(keys[0].key)); break\n    pygame.time.wait(20)\n"
    )
    with virtual_screen((400, 300)) as screen:
        assert screen.pixels.shape == (300, 400, 4)
        program = subprocess.Popen([sys.executable, "-c", code], env=screen.environment, stdout=subprocess.PIPE, text=True)
        while not (screen.pixels[150, 200] == [250, 0, 0, 255]).all() and program.poll() is None:
            pass
        screen.key("left", True)
        screen.key("left", False)
        said, _ = program.communicate(timeout=60)
        assert said.splitlines()[-1] == "left"
        with pytest.raises(WorldsimError, match="key was 'nonsense', which this keyboard has not"):
            screen.key("nonsense", True)


def test_a_line_is_held_while_its_pixels_are_bright() -> None:
    pixels = np.zeros((4, 5, 4), np.uint8)
    line = Line(pixels, np.array([1, 2]), np.array([3, 3]))
    assert not line.is_held()
    pixels[0] = 255
    assert not line.is_held(), "other pixels do not count"
    pixels[1:3, 3] = 235
    assert line.is_held()


class Keyboard:
    """A line that shows a key at once."""

    held = False

    def key(self, name: str, down: bool) -> None:
        self.held = down

    def is_held(self) -> bool:
        return self.held


def test_presses_in_whose_time_an_episode_ends_are_repeated() -> None:
    keyboard, frames = Keyboard(), iter([5, 5, None, 6, 6, 7, 7, 7])  # before and after each press
    watch = Watch(lambda: None, lambda: next(frames))
    times = time_presses(keyboard, keyboard, "a", LatencyConfig(presses=2), 1e-4, watch)  # type: ignore[arg-type]
    assert len(times) == 2 and next(frames, "no more") == "no more"


def test_what_cannot_be_measured_is_said_first(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if MISSING is None:
        with pytest.raises(WorldError, match="no world 'doom/nowhere'"):
            bench_latency(LatencyConfig("doom/nowhere"))
        with pytest.raises(WorldsimError, match=r"key was 'w'; .* listens to: a, d"):
            bench_latency(LatencyConfig(str(tiny_world_path), key="w"))
        with pytest.raises(GameError, match="test/tiny"):
            bench_latency(LatencyConfig(str(tiny_world_path), sources=("real",)))
    monkeypatch.setattr(display.shutil, "which", lambda program: None)
    with pytest.raises(DisplayError, match="Xvfb not found; on Debian or Ubuntu: sudo apt install xvfb libxtst6"):
        bench_latency(LatencyConfig(str(tiny_world_path)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presses": 1}, "presses was 1"),
        ({"seed": -1}, "seed was -1"),
        ({"sources": ("film",)}, "sources was 'film'; allowed: 'dream', 'real'"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        LatencyConfig(**options)  # type: ignore[arg-type]


def test_the_table_shows_milliseconds_and_frames() -> None:
    figures = {"p50": 60.0, "p90": 80.0, "p99": 90.0}
    frames = {name: value / 100 for name, value in figures.items()}
    where = {"world": "a/b", "source": "dream", "shown": "window", "runtime": "auto"}
    result = {**where, "presses": 9, "milliseconds": figures, "frames": frames}
    cells = format_latencies([result]).splitlines()[1].split()
    assert cells == ["a/b", "dream", "window", "auto", "9", "60", "80", "90", "0.60", "0.80", "0.90"]
