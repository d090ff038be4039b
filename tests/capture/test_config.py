from __future__ import annotations

from typing import Any

import pytest

from worldsim.capture.config import CaptureConfig, choose_size
from worldsim.controls import ControlSpec
from worldsim.errors import WorldsimError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": " "}, "window was empty"),
        ({"keys": ("q", "shft")}, "keys held 'shft'.*Did you mean 'shift'"),
        ({"keys": ("q", "q")}, "keys has 'q' twice"),
        ({"buttons": ("first",)}, "buttons held 'first'"),
        ({"press": ("f1",)}, "press held 'f1'"),
        ({"size": (90, 128)}, r"size was \(90, 128\)"),
        ({"fps": 0.0}, "fps was 0"),
        ({"hotkey": "a"}, "hotkey was 'a'; give f1 to f12"),
        ({"keys": (), "calibrate": True}, "give one as --press"),
        ({"delay_ms": -1.0}, "delay_ms was -1"),
        ({"presses": 2}, "presses was 2"),
    ],
)
def test_what_cannot_be_recorded_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        CaptureConfig(**{"window": "Game", **options})


def test_names_come_from_the_title() -> None:
    config = CaptureConfig("My Game 2: Redux", keys=("a",), mouse=0.0, buttons=())
    assert str(config.folder) == "data/my-game-2-redux" and config.spec == ControlSpec(keys=("a",))


@pytest.mark.parametrize(
    ("window", "frame"), [((480, 640), (80, 112)), ((1080, 1920), (64, 112)), ((600, 600), (96, 96)), ((128, 32), (192, 48))]
)
def test_frames_have_the_shape_of_the_window(window: tuple[int, int], frame: tuple[int, int]) -> None:
    assert choose_size(*window) == frame
