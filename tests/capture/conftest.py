"""A virtual screen with a program on it that we record."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worldsim.bench.display import VirtualScreen, virtual_screen

PACKAGES = {"Xvfb": "xvfb", "xdotool": "xdotool"}  # of Debian and Ubuntu, by program
MISSING = [program for program in PACKAGES if shutil.which(program) is None]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualScreen]:
    """A screen of 800x600, which is also that of this process."""
    if MISSING:
        install = f"sudo apt install {' '.join(PACKAGES[program] for program in MISSING)}"
        pytest.skip(f"needs {', '.join(MISSING)}; install: {install}")
    for library in ("Xlib", "mss"):
        pytest.importorskip(library)
    with virtual_screen((800, 600)) as opened:
        monkeypatch.setenv("DISPLAY", opened.environment["DISPLAY"])
        yield opened


@pytest.fixture
def toy(screen: VirtualScreen, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Our window in another process, in front, with the pointer in it."""
    command = [sys.executable, "-m", "worldsim.bench.toywindow", "60"]
    with subprocess.Popen(command, env=screen.environment, cwd=tmp_path) as program:
        try:
            found = wait_for(lambda: xdotool(screen, "search", "--onlyvisible", "--class", "."))
            xdotool(screen, "windowmove", found, "100", "80", "windowfocus", found, "mousemove", "200", "200")
            time.sleep(0.3)
            yield program
        finally:
            program.kill()


def xdotool(screen: VirtualScreen, *arguments: str) -> str:
    run = subprocess.run(["xdotool", *arguments], env=screen.environment, capture_output=True, text=True)
    return run.stdout.strip().rpartition("\n")[2]


def wait_for(what: Callable[[], str]) -> str:
    """What it gives once it gives something, within a minute."""
    for _ in range(600):
        if given := what():
            return given
        time.sleep(0.1)
    raise AssertionError("nothing came within a minute")
