"""Prompts that are written in the window, and pictures that are dropped onto it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pygame

from worldsim.data.images import save_png
from worldsim.player.window import Window

from .conftest import Open


def post(window: Window, kind: int, **about: Any) -> None:
    pygame.event.post(pygame.event.Event(kind, **about))
    window.handle_events()


def key(window: Window, symbol: int, scancode: int = 0) -> None:
    for kind in (pygame.KEYDOWN, pygame.KEYUP):
        post(window, kind, key=symbol, scancode=scancode, mod=0)


def write(window: Window, text: str) -> None:
    for letter in text:
        key(window, ord(letter), pygame.KSCAN_A if letter == "a" else 0)
        post(window, pygame.TEXTINPUT, text=letter)


def test_a_prompt_is_written_while_the_dream_waits(open_window: Open, tiny_studio_path: Path) -> None:
    window = open_window(tiny_studio_path)
    key(window, pygame.K_RETURN)
    write(window, "a red roomm")
    assert window.typed == "a red roomm" and not window.latch.take().keys, "keys of the game write, too"
    key(window, pygame.K_BACKSPACE)
    window.draw()
    key(window, pygame.K_RETURN)
    assert window.typed is None and window.scene.dream.world.prompt == "a red room"  # type: ignore[attr-defined]
    key(window, pygame.K_RETURN)
    write(window, "two")
    key(window, pygame.K_ESCAPE)
    assert window.typed is None and window.scene.dream.world.prompt == "a red room", "Escape says nothing"  # type: ignore[attr-defined]
    assert window.running


def test_a_world_without_prompts_says_so(open_window: Open, tiny_world_path: Path) -> None:
    window = open_window(tiny_world_path)
    key(window, pygame.K_RETURN)
    write(window, "a room")
    key(window, pygame.K_RETURN)
    assert "reads no prompts" in window.text


def test_a_picture_is_dropped_onto_the_window(open_window: Open, tiny_world_path: Path, tmp_path: Path) -> None:
    save_png(tmp_path / "photo.png", np.full((64, 96, 3), 200, np.uint8))
    window = open_window(tiny_world_path)
    before = window.scene.panes["dream"].frame
    post(window, pygame.DROPFILE, file=str(tmp_path / "photo.png"))
    assert (window.scene.panes["dream"].frame != before).any() and window.scene.position == 0
    (tmp_path / "text.txt").write_text("no picture")
    post(window, pygame.DROPFILE, file=str(tmp_path / "text.txt"))
    assert "cannot be read as a picture" in window.text and window.running
