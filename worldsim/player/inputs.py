"""Keys and buttons of pygame by our names.

A key is known by its position on the keyboard, not by the letter printed on it: the keys named w, a, s and d
are where they are on a US keyboard, whatever the layout.
"""

from __future__ import annotations

from typing import Any

import pygame

from worldsim.controls import DIGITS, LETTERS

BUTTONS = {1: "left", 2: "middle", 3: "right"}  # as pygame counts them
POSITIONS: dict[int, str] = {
    **{getattr(pygame, f"KSCAN_{letter.upper()}"): letter for letter in LETTERS},
    **{getattr(pygame, f"KSCAN_{digit}"): digit for digit in DIGITS},
    **{getattr(pygame, f"KSCAN_{name.upper()}"): name for name in ("space", "return", "escape", "tab", "backspace")},
    **{getattr(pygame, f"KSCAN_{name.upper()}"): name for name in ("up", "down", "left", "right")},
    **{getattr(pygame, f"KSCAN_{side}{name.upper()}"): name for name in ("shift", "ctrl", "alt") for side in "LR"},
}  # SDL scancode -> our name of the key


def layout_names() -> dict[str, str]:
    """Our name of a letter or digit key -> what the keyboard prints on it, such as "w" -> "z" on AZERTY.

    Needs an open window. A key that the layout gives no character is left out.
    """
    # pygame maps symbols to positions, and only inside this class; asked for every symbol, it gives the inverse.
    position: Any = pygame.key.ScancodeWrapper(tuple(range(512)))  # type: ignore[arg-type]
    names = {}
    for symbol in range(0x21, 0x2000):
        key = POSITIONS.get(int(position[symbol]))
        if key in LETTERS or key in DIGITS:
            names[key] = chr(symbol)
    return names
