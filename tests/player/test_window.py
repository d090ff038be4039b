"""The real window, on a virtual screen, with real keys and a real mouse."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.errors import DisplayError
from worldsim.player.hud import integer_fit
from worldsim.player.window import PlayConfig, Session, check_display

MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_screen = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {' and '.join(MISSING)}; install: sudo apt install {' '.join(MISSING).lower()}"
)


class Screen:
    """A virtual screen and the player on it."""

    def __init__(self, world: Path, folder: Path) -> None:
        self.folder = folder
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "900x700x24", "-nolisten", "tcp"]
        self.server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            display = pipe.readline().strip()
        self.environment = {**os.environ, "DISPLAY": f":{display}", "SDL_AUDIODRIVER": "dummy", "OMP_NUM_THREADS": "1"}
        self.environment.pop("SDL_VIDEODRIVER", None)
        code = "import sys; from worldsim.player import main; main(sys.argv[1:])"
        self.player = subprocess.Popen(
            [sys.executable, "-c", code, str(world), "--device", "cpu", "--zoom", "4"],
            cwd=folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.window = ""

    def wait_for_window(self) -> None:
        until(lambda: self.do("search", "--onlyvisible", "--class", ".") != "", 60)
        self.window = self.do("search", "--onlyvisible", "--class", ".").splitlines()[-1]
        time.sleep(1)

    def do(self, *command: str) -> str:
        done = subprocess.run(["xdotool", *command], env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def end(self) -> tuple[int, str]:
        """Exit status and messages of the player, once it has ended."""
        _, said = self.player.communicate(timeout=20)
        return self.player.returncode, said

    def close(self) -> None:
        for process in (self.player, self.server):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        if self.player.stderr is not None:
            self.player.stderr.close()


class ClientMessage(ctypes.Structure):
    """Xlib's XClientMessageEvent, padded to the size of an XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),
    )


def ask_to_close(display: str, window: int) -> None:
    """What a window manager does when its close button is clicked."""
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype, x.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
    server = ctypes.c_void_p(x.XOpenDisplay(display.encode()))
    protocols, delete = (x.XInternAtom(server, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = ClientMessage(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    x.XSendEvent(server, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x.XCloseDisplay(server)


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def screen(tiny_world_path: Path, tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(tiny_world_path, tmp_path)
    try:
        screen.wait_for_window()
        yield screen
    finally:
        screen.close()


def read_png(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


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
    screen.do("key", "Escape")
    time.sleep(0.3)
    screen.do("key", "Escape")
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
def test_pausing_and_stepping(screen: Screen) -> None:
    def shot(name: str) -> np.ndarray:
        before = set((screen.folder / "recordings").glob("*.png"))
        screen.do("key", "F12")
        until(lambda: bool(set((screen.folder / "recordings").glob("*.png")) - before))
        time.sleep(1.1)  # screenshots are named by the second
        return read_png(next(iter(set((screen.folder / "recordings").glob("*.png")) - before)))

    screen.do("key", "F1")
    screen.do("key", "p")
    time.sleep(3)  # messages fade
    still = [shot("a"), shot("b")]
    centre = (slice(20, 100), slice(40, 150))
    assert np.array_equal(still[0][centre], still[1][centre])
    for _ in range(5):
        screen.do("key", "n")
        time.sleep(0.1)
    assert not np.array_equal(shot("c")[centre], still[1][centre])


@needs_screen
def test_closing_the_window_ends_cleanly(screen: Screen) -> None:
    ask_to_close(screen.environment["DISPLAY"], int(screen.window))
    assert screen.end() == (0, "")


@needs_screen
def test_losing_the_screen_ends_without_a_traceback(screen: Screen) -> None:
    screen.server.kill()
    status, said = screen.end()
    assert status != 0 and said and "Traceback" not in said


def test_no_display_names_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(DisplayError, match=r"worldsim record doom/take-cover --out dream\.mp4"):
        check_display("doom/take-cover")


def test_frames_are_scaled_by_whole_numbers() -> None:
    assert integer_fit((128, 80), (768, 480)) == (6, (0, 0))
    assert integer_fit((128, 80), (800, 500)) == (6, (16, 10))
    assert integer_fit((128, 80), (100, 60)) == (1, (-14, -10))


def test_the_last_frame_stays_when_a_dream_ends(short_world_path: Path) -> None:
    session = Session(PlayConfig(str(short_world_path), device="cpu"))
    session.restart()
    for _ in range(500):
        last = session.frames["dream"]
        session.advance(Controls(keys={"a"}))
        if session.ended:
            break
        assert session.frames["dream"] is not last
    assert session.ended and session.frames["dream"] is last
