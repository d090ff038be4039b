from __future__ import annotations

from collections.abc import Iterator

import pygame
import pytest

from worldsim.controls import ControlSpec
from worldsim.player.gamepad import Gamepads, press_names
from worldsim.player.latch import Latch

SPEC = ControlSpec(keys=("w", "a", "s", "d", "space"), mouse_limit=(20.0, 0.0), buttons=("left",))


@pytest.fixture
def pads() -> Iterator[Gamepads]:
    yield Gamepads()
    pygame.quit()


def test_sticks_move_and_turn(pads: Gamepads) -> None:
    latch = Latch(SPEC)

    def push(axis: int, value: float) -> None:
        pads.handle(pygame.event.Event(pygame.CONTROLLERAXISMOTION, axis=axis, value=int(value * 32767)), latch)

    push(pygame.CONTROLLER_AXIS_LEFTX, -0.9)
    push(pygame.CONTROLLER_AXIS_LEFTY, -0.9)
    assert latch.take().keys == {"a", "w"}
    push(pygame.CONTROLLER_AXIS_LEFTX, 0.1)
    push(pygame.CONTROLLER_AXIS_LEFTY, 0.9)
    latch.take()
    assert latch.take().keys == {"s"}, "a little off the centre is the centre"
    push(pygame.CONTROLLER_AXIS_RIGHTX, 1.0)
    pads.move(latch, 0.05)
    assert latch.take().mouse[0] == pytest.approx(7.5, rel=0.01)


def test_buttons_press_what_the_game_has(pads: Gamepads) -> None:
    assert press_names(SPEC) == [("button", "left"), ("key", "space")]
    latch = Latch(SPEC)
    for button in (pygame.CONTROLLER_BUTTON_A, pygame.CONTROLLER_BUTTON_B, pygame.CONTROLLER_BUTTON_Y):
        pads.handle(pygame.event.Event(pygame.CONTROLLERBUTTONDOWN, button=button), latch)
    pads.handle(pygame.event.Event(pygame.CONTROLLERBUTTONDOWN, button=pygame.CONTROLLER_BUTTON_DPAD_UP), latch)
    taken = latch.take()
    assert taken.buttons == {"left"} and taken.keys == {"space", "w"}


def test_unplugging_lets_go(pads: Gamepads) -> None:
    latch = Latch(SPEC)
    pads.handle(pygame.event.Event(pygame.CONTROLLERBUTTONDOWN, button=pygame.CONTROLLER_BUTTON_DPAD_LEFT), latch)
    pads.handle(pygame.event.Event(pygame.CONTROLLERDEVICEREMOVED, instance_id=0), latch)
    assert latch.take() == SPEC.neutral()
