from __future__ import annotations

import numpy as np
import pytest

from worldsim.capture.timeline import Input, Timeline
from worldsim.controls import ControlSpec

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(30.0, 30.0), buttons=("left",))


def key(time: float, name: str, down: bool) -> Input:
    return Input(time, "key", name, down)


def test_an_input_lies_in_the_row_before_the_first_frame_after_it() -> None:
    timeline = Timeline(SPEC)
    for event in (key(0.95, "a", True), key(2.5, "a", False), Input(2.6, "button", "left", True)):
        timeline.add(event)
    rows = [timeline.take(until)[[0, 4]].tolist() for until in (1.0, 2.0, 3.0, 4.0)]
    assert rows == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_a_tap_between_two_frames_is_not_lost() -> None:
    timeline = Timeline(SPEC)
    timeline.add(key(0.2, "d", True))
    timeline.add(key(0.3, "d", False))
    assert timeline.take(1.0)[1] == 1 and timeline.take(2.0)[1] == 0


def test_the_delay_moves_inputs_to_the_frame_that_shows_them() -> None:
    timeline = Timeline(SPEC, delay=0.25)
    timeline.add(key(0.7, "a", True))
    timeline.add(key(1.8, "a", False))
    assert [timeline.take(until)[0] for until in (0.9, 1.0, 2.0, 3.0)] == [0, 1, 1, 0]


def test_motion_adds_up_and_is_limited() -> None:
    timeline = Timeline(SPEC)
    for dx in (10, 30):
        timeline.add(Input(0.5, "motion", dx=dx, dy=-20))
    timeline.add(Input(1.5, "motion", dx=1e6))
    assert np.allclose(timeline.take(1.0)[2:4], (6, -6))
    assert timeline.take(2.0)[2] == 30 and timeline.take(3.0)[2] == 0


def test_what_is_not_recorded_is_ignored_and_everything_can_be_let_go() -> None:
    timeline = Timeline(SPEC)
    timeline.add(key(0.1, "w", True))
    timeline.add(key(0.1, "a", True))
    timeline.release(0.5)
    assert timeline.take(1.0).tolist() == [1, 0, 0, 0, 0] and not timeline.take(2.0).any()


@pytest.mark.parametrize("spec", [ControlSpec(keys=("a",)), ControlSpec(buttons=("left",)), ControlSpec(mouse_limit=(1.0, 0.0))])
def test_any_controls(spec: ControlSpec) -> None:
    timeline = Timeline(spec)
    timeline.add(key(0.0, "a", True))
    timeline.add(Input(0.0, "motion", dx=2.0, dy=2.0))
    assert timeline.take(1.0).shape == (spec.size,)
