"""The window, moved on frame by frame where nobody sees it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

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
from worldsim.player.window import Window
from worldsim.provenance import MarkOptions
from worldsim.provenance.tags import read_claim
from worldsim.world import read_config

from .conftest import Open, read_png


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
