"""Windows open where somebody can see them, or not at all."""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from worldsim.envs.screen import INVISIBLE, Screen

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


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_triton_is_loaded_before_a_graphics_driver() -> None:
    check = "import sys; from worldsim.envs.screen import open_display; open_display('x'); print('triton' in sys.modules)"
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, timeout=180)
    assert done.stdout.splitlines()[-1] == "True", "loaded after Mesa, it crashes"


def test_every_screen_has_a_window_and_its_x_closes_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    one, two = Screen(1000), Screen(1000)
    frames = [np.full((8, 12, 3), level, np.uint8) for level in (40, 90)]

    def show() -> None:
        for screen, frame in zip((one, two), frames, strict=True):
            screen.show(frame)

    show()
    assert one._window is not two._window
    shown = [pygame.surfarray.array3d(screen._window.get_surface())[0, 0, 0] for screen in (one, two)]
    assert shown == [40, 90]
    pygame.event.post(pygame.event.Event(pygame.WINDOWCLOSE, window=one._window))
    show()
    show()
    assert one.closed_by_user and one._window is None, "and it stays closed"
    assert not two.closed_by_user and two._window is not None
    one.close()
    show()
    copied = copy.copy(two)
    assert copied._window is None and two._window is not None
    two.close()
    assert not pygame.display.get_init()


@pytest.mark.parametrize("driver", INVISIBLE)
def test_an_invisible_driver_opens_when_it_is_asked_for(driver: str) -> None:
    done = open_in_a_process(SDL_VIDEODRIVER=driver)
    assert done.stdout.strip() == driver, done.stderr
