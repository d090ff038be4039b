"""Windows open where somebody can see them, or not at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worldsim.envs.screen import INVISIBLE

OPEN = """
from worldsim.envs.screen import open_display
open_display("use a file.")
import pygame
print(pygame.display.get_driver())
"""


def open_in_a_process(**environment: str) -> subprocess.CompletedProcess[str]:
    """SDL keeps its driver for as long as the process lives."""
    bare = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **environment}
    return subprocess.run([sys.executable, "-c", OPEN], env=bare, capture_output=True, text=True, timeout=180)


@pytest.mark.skipif(sys.platform != "linux", reason="displays have names on Linux alone")
@pytest.mark.parametrize("environment", [{}, {"DISPLAY": ":987"}, {"WAYLAND_DISPLAY": "wayland-987"}])
def test_without_a_display_no_invisible_window_opens(environment: dict[str, str]) -> None:
    done = open_in_a_process(**environment)
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert "DisplayError" in message and message.endswith("without a display, use a file.")
    assert all(f"{name}={value}" in message for name, value in environment.items())


@pytest.mark.parametrize("driver", INVISIBLE)
def test_an_invisible_driver_opens_when_it_is_asked_for(driver: str) -> None:
    done = open_in_a_process(SDL_VIDEODRIVER=driver)
    assert done.stdout.strip() == driver, done.stderr
