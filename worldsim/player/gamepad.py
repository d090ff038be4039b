"""Gamepads: the left stick or the cross moves, the right stick turns, buttons press the game's own."""

from __future__ import annotations

from typing import Any

import pygame
from pygame._sdl2 import controller

from worldsim.controls import ControlSpec
from worldsim.player.latch import DEGREES_PER_PIXEL, Latch

DEAD_ZONE, TURN_RATE = 0.25, 150.0  # share of a stick's range; degrees per second at its end
STICK = {pygame.CONTROLLER_AXIS_LEFTX: ("left", "right"), pygame.CONTROLLER_AXIS_LEFTY: ("up", "down")}
CROSS = {
    pygame.CONTROLLER_BUTTON_DPAD_LEFT: "left",
    pygame.CONTROLLER_BUTTON_DPAD_RIGHT: "right",
    pygame.CONTROLLER_BUTTON_DPAD_UP: "up",
    pygame.CONTROLLER_BUTTON_DPAD_DOWN: "down",
}
TURN = {pygame.CONTROLLER_AXIS_RIGHTX: 0, pygame.CONTROLLER_AXIS_RIGHTY: 1}
PRESS = (
    pygame.CONTROLLER_BUTTON_A,
    pygame.CONTROLLER_BUTTON_B,
    pygame.CONTROLLER_BUTTON_X,
    pygame.CONTROLLER_BUTTON_Y,
    pygame.CONTROLLER_BUTTON_LEFTSHOULDER,
    pygame.CONTROLLER_BUTTON_RIGHTSHOULDER,
)
MOVES = {"w", "a", "s", "d", "up", "down", "left", "right"}


class Gamepads:
    """All gamepads that are plugged in; each works on the same `Latch` as keyboard and mouse."""

    def __init__(self) -> None:
        controller.init()
        self._open: list[Any] = []  # pygame closes a gamepad that nothing refers to
        self._turn = [0.0, 0.0]  # of the right stick, from -1 to 1

    def handle(self, event: pygame.event.Event, latch: Latch) -> None:
        """Takes over an event, if it is of a gamepad."""
        if event.type == pygame.CONTROLLERDEVICEADDED and controller.is_controller(event.device_index):
            self._open.append(controller.Controller(event.device_index))
        elif event.type == pygame.CONTROLLERDEVICEREMOVED:
            self._open = [pad for pad in self._open if pad.attached()]
            latch.release()
            self._turn = [0.0, 0.0]
        elif event.type == pygame.CONTROLLERAXISMOTION:
            self._axis(event.axis, event.value / 32768, latch)
        elif event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
            self._button(event.button, event.type == pygame.CONTROLLERBUTTONDOWN, latch)

    def move(self, latch: Latch, seconds: float) -> None:
        """Turns as far as the right stick asks for in that time."""
        if any(self._turn):
            pixels = TURN_RATE * seconds / DEGREES_PER_PIXEL
            latch.move(self._turn[0] * pixels, self._turn[1] * pixels)

    def _axis(self, axis: int, value: float, latch: Latch) -> None:
        value = 0.0 if abs(value) < DEAD_ZONE else value
        if axis in TURN:
            self._turn[TURN[axis]] = value
        elif axis in STICK:
            for name, held in zip(STICK[axis], (value < 0, value > 0), strict=True):
                latch.key(name, held)

    def _button(self, button: int, down: bool, latch: Latch) -> None:
        if button in CROSS:
            latch.key(CROSS[button], down)
        elif button in PRESS:
            names = press_names(latch.spec)
            place = PRESS.index(button)
            if place < len(names):
                kind, name = names[place]
                latch.button(name, down) if kind == "button" else latch.key(name, down)


def press_names(spec: ControlSpec) -> list[tuple[str, str]]:
    """What A, B, X, Y and the shoulder buttons press: the game's mouse buttons, then keys other than movement."""
    keys = [key for key in spec.keys if key not in MOVES]
    return [*(("button", name) for name in spec.buttons), *(("key", key) for key in keys)]
