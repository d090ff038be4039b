"""Keys of the window itself: F1 to F12, Tab and Escape always; some letters too, where the game does not use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pygame

from worldsim.controls import ControlSpec


@dataclass(frozen=True)
class Command:
    """One thing that the window does.

    Attributes:
        name: of the method of `Window` that does it.
        key: pygame's code of the key that always does it.
        label: of that key.
        meaning: for the help.
        letter: a second key, for games that do not use it; empty for none.
    """

    name: str
    key: int
    label: str
    meaning: str
    letter: str = ""


COMMANDS = (
    Command("show_help", pygame.K_F1, "F1", "show or hide this help"),
    Command("record", pygame.K_F2, "F2", "record, stop recording"),
    Command("restart", pygame.K_F3, "F3", "another start", "r"),
    Command("pause", pygame.K_F4, "F4", "pause", "p"),
    Command("one_frame", pygame.K_F5, "F5", "one frame while paused", "n"),
    Command("fewer_calls", pygame.K_F6, "F6", "fewer network calls", "["),
    Command("more_calls", pygame.K_F7, "F7", "more network calls", "]"),
    Command("slower_mouse", pygame.K_F8, "F8", "slower mouse", "-"),
    Command("faster_mouse", pygame.K_F9, "F9", "faster mouse", "="),
    Command("show_figures", pygame.K_F10, "F10", "show or hide the figures"),
    Command("toggle_fullscreen", pygame.K_F11, "F11", "fullscreen"),
    Command("screenshot", pygame.K_F12, "F12", "screenshot"),
    Command("say_prompt", pygame.K_RETURN, "Enter", "say what comes next, in a world that reads prompts"),
    Command("next_mode", pygame.K_TAB, "Tab", "dream, real, side by side"),
    Command("leave", pygame.K_ESCAPE, "Esc", "release the mouse; quit"),
)
PER_ROW = 8  # keys of unknown meaning in a row of the help
HELD_WITH_SHIFT = {pygame.K_TAB: "tab", pygame.K_ESCAPE: "escape"}  # how a game gets the keys that are ours


def find_command(key: int) -> Command | None:
    """The command of a key, given as pygame's code. Ask only for keys that the game does not use."""
    return next((command for command in COMMANDS if key == command.key or (command.letter and key == ord(command.letter))), None)


def help_rows(spec: ControlSpec, meanings: Mapping[str, str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Keys and what they do: first the game's, then the window's.

    Args:
        spec: controls of the game.
        meanings: what they do there, by their names in the spec, where that is known.
        names: what the keyboard prints on a key; see `inputs.layout_names`.
    """
    printed = {key: names.get(key, key) for key in spec.keys}
    printed |= {key: f"Shift+{key.title()}" for key in HELD_WITH_SHIFT.values() if key in spec.keys}
    rows = [(printed[key], meanings[key]) for key in spec.keys if key in meanings]
    others = [printed[key] for key in spec.keys if key not in meanings]
    rows += [(" ".join(others[i : i + PER_ROW]), "keys of the game") for i in range(0, len(others), PER_ROW)]
    axes = [axis for axis, limit in zip(("mouse.dx", "mouse.dy"), spec.mouse_limit, strict=True) if limit]
    rows += [("mouse", " and ".join(dict.fromkeys(meanings.get(axis, "look") for axis in axes)))] if axes else []
    rows += [(f"{button} click", meanings.get(f"mouse.{button}", "button of the game")) for button in spec.buttons]
    taken = {name for key, name in names.items() if key in spec.keys} or set(spec.keys)
    for command in COMMANDS:
        free = command.letter and command.letter not in taken
        rows.append((f"{command.label}, {command.letter.upper()}" if free else command.label, command.meaning))
    return rows
