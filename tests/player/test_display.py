"""The real window, on a virtual screen, with real keys and a real mouse."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest

from worldsim.data import Dataset
from worldsim.errors import WorldsimError
from worldsim.player.opening import SIZE, load

from .conftest import read_png

PACKAGES = {"Xvfb": "xvfb", "xdotool": "xdotool", "setxkbmap": "x11-xkb-utils"}  # of Debian and Ubuntu, by program
MISSING = [program for program in PACKAGES if shutil.which(program) is None]
INSTALL = f"sudo apt install {' '.join(PACKAGES[program] for program in MISSING)}"
needs_screen = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}; install: {INSTALL}")


class Screen:
    """A virtual screen and the player on it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "900x700x24", "-nolisten", "tcp", "-noreset"]
        self.server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            display = pipe.readline().strip()
        self.environment = {**os.environ, "DISPLAY": f":{display}", "SDL_AUDIODRIVER": "dummy", "OMP_NUM_THREADS": "1"}
        self.environment.pop("SDL_VIDEODRIVER", None)
        self.player = subprocess.Popen(
            [sys.executable, "-m", "worldsim", "play", "--device", "cpu", *arguments],
            cwd=folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.window = ""

    def wait_for_window(self, title: str = "worldsim - ") -> None:
        """Waits for the window; by default until its world is loaded, whose name is then in the title."""

        def find() -> bool:
            self.window = self.do("search", "--onlyvisible", "--class", ".").rpartition("\n")[2]
            return self.window != "" and self.do("getwindowname", self.window).startswith(title)

        until(find, 60)
        time.sleep(1)

    def do(self, *command: str) -> str:
        done = subprocess.run(["xdotool", *command], env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def end(self, seconds: float = 20) -> tuple[int, str]:
        """Exit status and messages of the player, once it has ended."""
        _, messages = self.player.communicate(timeout=seconds)
        return self.player.returncode, messages

    def close(self) -> None:
        for process in (self.player, self.server):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        if self.player.stderr is not None:
            self.player.stderr.close()


# What a window manager does when the close button of a window is clicked. In a process of its own: Xlib ends the process that
# names a window which is gone, as after a player made it anew.
ASK_TO_CLOSE = """
import ctypes, sys


class ClientMessage(ctypes.Structure):  # Xlib's XClientMessageEvent, padded to the size of an XEvent
    _fields_ = (
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),
    )


x, window = ctypes.CDLL("libX11.so.6"), int(sys.argv[1])
x.XOpenDisplay.restype, x.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
server = ctypes.c_void_p(x.XOpenDisplay(None))
protocols, delete = (x.XInternAtom(server, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
message = ClientMessage(type=33, window=window, message_type=protocols, format=32)
message.data[0] = delete
x.XSendEvent(server, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
x.XCloseDisplay(server)
"""


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def screen(tiny_world_path: Path, tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(tmp_path, str(tiny_world_path), "--zoom", "4")
    try:
        screen.wait_for_window()
        yield screen
    finally:
        screen.close()


@needs_screen
def test_keys_and_mouse_reach_the_dream(screen: Screen) -> None:
    recordings = screen.folder / "recordings"
    screen.do("mousemove", "450", "350", "click", "1")
    screen.do("key", "F2")
    until(lambda: recordings.exists())
    screen.do("keydown", "a")
    time.sleep(1)
    screen.do("keyup", "a")
    time.sleep(0.3)
    screen.do("key", "d")  # down and up at once: shorter than a frame
    for _ in range(10):
        screen.do("mousemove_relative", "--", "12", "0")
    time.sleep(0.5)
    screen.do("key", "F12")
    until(lambda: bool(list(recordings.glob("screenshot-*.png"))))
    screen.do("key", "F2")
    time.sleep(0.5)
    for _ in range(3):  # lets the mouse go, asks, quits
        assert screen.player.poll() is None
        screen.do("key", "Escape")
        time.sleep(0.3)
    assert screen.end() == (0, "")

    data = Dataset(next(recordings.glob("test-tiny-dream-*")))
    actions = data.rows.actions
    held = actions[:, 0] == 1
    assert held.sum() >= 8 and (np.diff(np.flatnonzero(held)) == 1).all(), "a is one press"
    assert (actions[:, 1] == 1).sum() >= 1, "the tap of d arrived"
    assert actions[:, 2].max() > 0, "the mouse turned right"
    frames = data.frames(0)
    assert (frames[1:] != frames[:-1]).any(), "the picture moves"
    shot = read_png(next(recordings.glob("screenshot-*.png")))
    assert shot.shape == (128, 192, 3) and shot.std() > 5


@needs_screen
def test_the_chooser_opens_a_world(tmp_path: Path) -> None:
    screen = Screen(tmp_path, "--frames", "3")
    try:
        screen.wait_for_window("worldsim")
        screen.do("key", "Return")
        assert screen.end(60) == (0, "")
    finally:
        screen.close()


@needs_screen
def test_positions_count_whatever_the_layout(screen: Screen) -> None:
    """On a French keyboard the key to the right of Caps Lock prints q, and is still our a."""
    recordings = screen.folder / "recordings"
    subprocess.run(["setxkbmap", "fr"], env=screen.environment, check=True)
    time.sleep(0.5)
    screen.do("key", "F2")
    until(lambda: recordings.exists())
    screen.do("keydown", "q")
    time.sleep(0.5)
    screen.do("keyup", "q", "key", "F2")
    time.sleep(0.5)
    assert (Dataset(next(recordings.glob("test-tiny-dream-*"))).rows.actions[:, 0] == 1).any()


@needs_screen
def test_closing_the_window_ends_cleanly(screen: Screen) -> None:
    asked = [sys.executable, "-c", ASK_TO_CLOSE]
    while subprocess.run([*asked, screen.window], env=screen.environment, capture_output=True).returncode:
        screen.wait_for_window()
    assert screen.end() == (0, "")


@needs_screen
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_being_ended_saves_the_recording(screen: Screen, number: int, status: int) -> None:
    screen.do("key", "F2")
    until((screen.folder / "recordings").exists)
    time.sleep(1)
    screen.player.send_signal(number)
    assert screen.end() == (status, "")
    assert Dataset(next((screen.folder / "recordings").glob("test-tiny-dream-*"))).total_frames > 0


@needs_screen
def test_losing_the_screen_ends_without_a_traceback(screen: Screen) -> None:
    screen.server.kill()
    status, message = screen.end()
    assert status != 0 and message and "Traceback" not in message


@pytest.mark.skipif(sys.platform != "linux", reason="displays have names on Linux alone")
@pytest.mark.parametrize("display", [None, ":987"])
def test_no_display_names_the_other_way(tmp_path: Path, display: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name and name != "SDL_VIDEODRIVER"}
    environment |= {"DISPLAY": display} if display else {}
    command = [sys.executable, "-m", "worldsim", "play", "doom/take-cover"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]  # the system's libraries may say something before
    assert last.endswith("without a display, run: worldsim serve, or: worldsim record doom/take-cover --out dream.mp4")


def test_the_window_is_there_while_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    screen = pygame.display.set_mode(SIZE)
    pressed = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_RETURN)

    def make() -> int:
        until(lambda: pygame.surfarray.array3d(screen).max() > 200)  # a picture, with text in it
        pygame.event.post(pressed)
        return 7

    def fail() -> None:
        raise WorldsimError("no such thing")

    try:
        assert load(screen, make) == (7, True)
        assert pygame.event.get(pygame.KEYDOWN)[0].key == pygame.K_RETURN, "keys are kept for what comes next"
        with pytest.raises(WorldsimError, match="no such thing"):
            load(screen, fail)
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        assert load(screen, lambda: until(lambda: not pygame.display.get_init())) == (None, False)
    finally:
        pygame.quit()


def test_the_window_opens_before_pytorch_is_imported(tiny_world_path: Path) -> None:
    code = (
        "import sys\nfrom worldsim.player import PlayConfig, play\nseen = []\n"
        "def hook(event, args):\n    if event == 'worldsim.window': seen.append((args[0], 'torch' in sys.modules))\n"
        "sys.addaudithook(hook)\nplay(PlayConfig(sys.argv[1], device='cpu', frames=1))\nprint(seen[0], seen[-1])"
    )
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    command = [sys.executable, "-c", code, str(tiny_world_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "('opened', False) ('frame', True)"
