from __future__ import annotations

import pygame

from worldsim.controls import KEY_NAMES
from worldsim.player.inputs import POSITIONS


def test_every_key_has_a_position() -> None:
    assert set(POSITIONS.values()) == set(KEY_NAMES)
    assert POSITIONS[pygame.KSCAN_W] == "w" and POSITIONS[pygame.KSCAN_RSHIFT] == "shift"
