"""The real window, on a virtual screen, with real keys and a real mouse."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pygame
import pytest

from worldsim.controls import ControlSpec
from worldsim.data import Dataset
from worldsim.errors import WorldsimError
from worldsim.player import PlayConfig, play
from worldsim.player import chooser as chooser_module
from worldsim.player.chooser import Choice
from worldsim.player.inputs import layout_names
from worldsim.player.opening import SIZE, load
from worldsim.player.pacing import Pacer
from worldsim.player.replay import Replay
from worldsim.player.session import Session
from worldsim.player.window import Window
from worldsim.provenance import MarkOptions
from worldsim.provenance.tags import read_claim
from worldsim.world import read_config

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


Open = Callable[..., Window]


@pytest.fixture
def open_window(tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens windows that nobody sees, on a world or on what is given; a test moves them on frame by frame."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    opened: list[Window] = []

    def open_window(world: Path = tiny_world_path, replay: Path | None = None, **options: Any) -> Window:
        config = PlayConfig("" if replay else str(world), device="cpu", recordings=tmp_path, replay=replay, **options)
        opened.append(Window(Session(config) if replay is None else Replay(replay), config))
        opened[-1].pacer = Pacer(1000, 0.0)
        return opened[-1]

    yield open_window
    for window in opened:
        window.scene.close()
    pygame.quit()


def test_without_a_world_the_player_chooses(tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    choices = [Choice(str(tiny_world_path), tiny_world_path, read_config(tiny_world_path))]
    monkeypatch.setattr(chooser_module, "find_choices", lambda: choices)
    shown: list[str] = []

    def show_and_stop(window: Window, now: float) -> None:
        shown.append(window.scene.title)
        window.running = False

    monkeypatch.setattr(Window, "advance", show_and_stop)
    for key in (pygame.K_ESCAPE, pygame.K_RETURN):
        pygame.display.init()
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
        play(PlayConfig(device="cpu", recordings=tmp_path))
        assert not pygame.display.get_init(), "the window is closed"
    assert shown == ["test/tiny"], "Escape plays nothing"
    monkeypatch.setattr(chooser_module, "find_choices", list)
    with pytest.raises(WorldsimError, match="no world was named"):
        play(PlayConfig())


def press(window: Window, key: int, scancode: int = 0, mod: int = 0, up: bool = True) -> None:
    """A key with a symbol and a position, down and up."""
    for kind in (pygame.KEYDOWN, pygame.KEYUP)[: 1 + up]:
        pygame.event.post(pygame.event.Event(kind, key=key, scancode=scancode, mod=mod))
    window.handle_events()


def advance(window: Window, frames: int = 1) -> None:
    for _ in range(frames):
        window.advance(time.perf_counter())


def pixels(window: Window) -> np.ndarray:
    return pygame.surfarray.array3d(window.screen)


def test_the_position_of_a_key_counts_not_its_symbol(open_window: Open) -> None:
    window = open_window()
    for symbol in (pygame.K_q, 0x444, 0x3B1):  # what AZERTY, Cyrillic and Greek keyboards have where ours is a
        press(window, symbol, pygame.KSCAN_A)
        assert window.latch.take().keys == {"a"}
    press(window, pygame.K_a, pygame.KSCAN_Q)  # AZERTY's a
    assert not window.latch.take().keys


def test_the_layout_names_the_keys(open_window: Open) -> None:
    window = open_window()
    assert layout_names()["a"] == "a" and layout_names()["1"] == "1", "SDL starts with the US layout"
    window.key_names = {}
    pygame.event.post(pygame.event.Event(pygame.KEYMAPCHANGED))
    window.handle_events()
    assert window.key_names["a"] == "a", "another layout is noticed"


def test_help_comes_with_the_first_picture_and_f1_toggles_it(open_window: Open) -> None:
    window = open_window(zoom=10, frames=1)
    window.with_figures = False
    window.draw()
    without = pixels(window)
    begun = time.perf_counter()
    window.run()
    assert begun + 8 <= window.help_until <= time.perf_counter() + 8, "it is shown for a while, from when the picture is there"
    assert (pixels(window) != without).any()
    window.draw()
    shown = pixels(window)
    press(window, pygame.K_F1)
    window.draw()
    assert (pixels(window) != shown).any() and window.help_until == 0
    press(window, pygame.K_F1)
    window.draw()
    assert np.array_equal(pixels(window), shown) and window.help_until == float("inf")


def test_escape_asks_before_it_quits(open_window: Open) -> None:
    window = open_window()
    window.capture(True)
    press(window, pygame.K_ESCAPE)
    assert window.running and not window.captured
    press(window, pygame.K_ESCAPE)
    assert window.running and "press Esc again" in window.text
    press(window, pygame.K_F10)
    press(window, pygame.K_ESCAPE)
    assert window.running, "another key in between takes it back"
    press(window, pygame.K_ESCAPE)
    assert not window.running


def test_a_game_gets_tab_and_escape_with_shift_alone(open_window: Open) -> None:
    window = open_window()
    window.scene.spec = window.latch.spec = ControlSpec(keys=("tab", "escape", "r"))
    press(window, pygame.K_ESCAPE, pygame.KSCAN_ESCAPE, mod=pygame.KMOD_LSHIFT)
    assert window.latch.take().keys == {"escape"} and not window.quit_until
    press(window, pygame.K_ESCAPE, pygame.KSCAN_ESCAPE)
    assert not window.latch.take().keys and window.quit_until
    window.scene.position = 2
    press(window, pygame.K_r, pygame.KSCAN_R)
    assert window.latch.take().keys == {"r"} and window.scene.position == 2, "r is the game's here"
    press(window, pygame.K_F3)
    assert window.scene.position == 0
    press(window, pygame.K_TAB, pygame.KSCAN_TAB, mod=pygame.KMOD_LSHIFT, up=False)
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_TAB, scancode=pygame.KSCAN_TAB, mod=0))
    window.handle_events()
    window.latch.take()
    assert not window.latch.take().keys, "Tab is let go even if Shift was first"


def test_pausing_and_single_frames(open_window: Open) -> None:
    window = open_window()
    advance(window, 3)
    press(window, pygame.K_p)
    assert window.paused and window.scene.position == 3
    press(window, pygame.K_F5)
    assert window.single
    advance(window)
    assert window.paused and not window.single and window.scene.position == 4
    press(window, pygame.K_F4)
    assert not window.paused


def test_screenshots_leave_the_text_out_and_say_that_a_dream_is_one(open_window: Open, tmp_path: Path) -> None:
    window = open_window(zoom=10, marks=MarkOptions(watermark=False))
    advance(window, 2)
    window.help_until = float("inf")
    window.draw()
    press(window, pygame.K_F12)
    shot = read_png(next(tmp_path.glob("screenshot-*.png")))
    assert np.array_equal(shot, window.scene.panes["dream"].frame.repeat(10, 0).repeat(10, 1))
    assert (pixels(window).swapaxes(0, 1) != shot).any(), "the window itself shows text"
    claim = read_claim(next(tmp_path.glob("screenshot-*.png")), ".png")
    assert claim is not None and claim.world == "test/tiny" and claim.seed == 0


def test_a_screenshot_that_cannot_be_saved_is_one_line(open_window: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    window = open_window()
    window.config = replace(window.config, recordings=tmp_path / "file")
    press(window, pygame.K_F12)
    assert window.running and "cannot write" in window.text and "\n" not in window.text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    advance(window)


def test_a_click_captures_the_mouse_and_shoots_only_then(open_window: Open) -> None:
    window = open_window()

    def click() -> None:
        for kind in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
            pygame.event.post(pygame.event.Event(kind, button=1, pos=(5, 5)))
        window.handle_events()

    assert not window.captured
    click()
    assert window.captured and not window.latch.take().buttons
    click()
    assert window.latch.take().buttons == {"left"}


def test_sensitivity_has_keys_and_limits(open_window: Open) -> None:
    window = open_window(sensitivity=2.0)
    press(window, pygame.K_F9)
    assert window.latch.sensitivity == 2.5 and "2.50" in window.text
    for _ in range(60):
        press(window, pygame.K_F8)
    assert window.latch.sensitivity == 0.01


def test_the_window_grows_for_two_frames_and_shrinks_again(open_window: Open, dodge_world_path: Path) -> None:
    window = open_window(dodge_world_path, zoom=4)
    assert window.screen.get_size() == (192, 128)
    press(window, pygame.K_TAB)
    assert window.screen.get_size() == (192, 128)
    press(window, pygame.K_TAB)
    assert window.screen.get_size() == (2 * 192 + 12, 128 + window.hud.header(window.screen.get_size()))
    assert window.zoom() == 4
    advance(window)
    window.capture(True)
    press(window, pygame.K_F11)
    assert window.captured and window.fullscreen and window.screen.get_size() == pygame.display.get_desktop_sizes()[0]
    press(window, pygame.K_TAB)
    assert window.screen.get_size() == pygame.display.get_desktop_sizes()[0]
    press(window, pygame.K_F11)
    assert window.screen.get_size() == (192, 128)


def test_it_can_begin_in_fullscreen(open_window: Open) -> None:
    window = open_window(fullscreen=True)
    assert window.fullscreen and window.screen.get_size() == pygame.display.get_desktop_sizes()[0]
    advance(window)


def test_a_window_that_was_resized_keeps_its_zoom(open_window: Open, dodge_world_path: Path) -> None:
    window = open_window(dodge_world_path, zoom=4)
    press(window, pygame.K_TAB)
    window.screen = pygame.display.set_mode((330, 230), pygame.RESIZABLE)  # as a person drags its corner
    press(window, pygame.K_TAB)
    assert window.zoom() == 7 and window.screen.get_width() == 2 * 7 * 48 + 12


def test_a_missing_game_is_a_message(open_window: Open) -> None:
    window = open_window()
    press(window, pygame.K_TAB)
    assert window.running and "test/tiny" in window.text
    advance(window)


def test_an_end_is_followed_by_another_start(open_window: Open, short_world_path: Path) -> None:
    window = open_window(short_world_path)
    while not window.scene.ended:
        advance(window)
    assert window.restart_at < float("inf")
    window.restart_at = 0.0
    window.config = replace(window.config, frames=1)
    window.run()
    assert window.scene.position == 1 and not window.scene.panes["dream"].over


def test_a_recording_is_watched_in_the_same_window(open_window: Open, tmp_path: Path) -> None:
    window = open_window()
    press(window, pygame.K_F2)
    advance(window, 4)
    press(window, pygame.K_F2)
    recorded = next(tmp_path.glob("test-tiny-dream-*"))
    watching = open_window(replay=recorded)
    advance(watching, 3)
    assert np.array_equal(watching.scene.panes["recording"].frame, Dataset(recorded).frames(0)[3])
    assert not watching.scene.spec.has_mouse and "episode 0 of 1" in watching.figure_lines(False)[0]


def test_the_figures_say_what_is_going_on(open_window: Open) -> None:
    window = open_window()
    press(window, pygame.K_d, pygame.KSCAN_D)
    press(window, pygame.K_RIGHTBRACKET)
    advance(window)
    press(window, pygame.K_F2)
    lines = window.figure_lines(False)
    assert lines[0] == "dream, recording" and lines[1].startswith("score ") and lines[1].endswith(", 1 frame")
    assert lines[3] == "4 network calls per frame, torch" and lines[4] == "held: d"
