from __future__ import annotations

import pygame

from worldsim.controls import ControlSpec
from worldsim.player.commands import COMMANDS, find_command, help_rows
from worldsim.player.window import Window


def test_every_command_is_something_the_window_does() -> None:
    for command in COMMANDS:
        assert callable(getattr(Window, command.name)) and find_command(command.key) is command
        assert not command.letter or find_command(ord(command.letter)) is command
    assert len({command.key for command in COMMANDS}) == len(COMMANDS)
    assert find_command(pygame.K_q) is None


def test_the_help_says_what_controls_mean_in_the_game() -> None:
    spec = ControlSpec(keys=("w", "e"), mouse_limit=(10.0, 5.0), buttons=("left", "right"))
    rows = dict(help_rows(spec, {"w": "forward", "mouse.dx": "turn", "mouse.left": "fire"}, {}))
    assert rows["w"] == "forward" and rows["e"] == "keys of the game"
    assert rows["mouse"] == "turn and look"
    assert rows["left click"] == "fire" and rows["right click"] == "button of the game"


def test_many_keys_take_several_rows() -> None:
    rows = help_rows(ControlSpec(keys=(*"abcdefghij",)), {}, {})
    assert rows[:2] == [("a b c d e f g h", "keys of the game"), ("i j", "keys of the game")]


def test_the_help_names_keys_as_the_keyboard_prints_them() -> None:
    azerty = {"w": "z", "a": "q", "q": "a"}
    rows = dict(help_rows(ControlSpec(keys=("w", "a")), {"w": "forward", "a": "left"}, azerty))
    assert rows["z"] == "forward" and rows["q"] == "left" and "w" not in rows


def test_letters_that_the_game_uses_are_not_offered_for_commands() -> None:
    rows = help_rows(ControlSpec(keys=("r",)), {"r": "reload"}, {})
    assert ("r", "reload") in rows and ("F3", "another start") in rows and ("F4, P", "pause") in rows


def test_keys_that_are_ours_reach_the_game_with_shift() -> None:
    rows = dict(help_rows(ControlSpec(keys=("tab", "escape")), {"tab": "inventory", "escape": "menu"}, {}))
    assert rows["Shift+Tab"] == "inventory" and rows["Shift+Escape"] == "menu" and "Tab" in rows
