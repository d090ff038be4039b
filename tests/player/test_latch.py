from __future__ import annotations

import pytest

from worldsim.controls import Controls, ControlSpec
from worldsim.player.latch import DEGREES_PER_PIXEL, Latch

SPEC = ControlSpec(keys=("w", "a"), mouse_limit=(10.0, 0.0), buttons=("left",))


def test_a_tap_between_two_frames_is_not_lost() -> None:
    latch = Latch(SPEC)
    assert latch.key("a", True) and latch.key("a", False)
    latch.button("left", True)
    latch.button("left", False)
    taken = latch.take()
    assert taken.keys == {"a"} and taken.buttons == {"left"}
    assert latch.take() == SPEC.neutral()


def test_a_held_key_counts_until_released() -> None:
    latch = Latch(SPEC)
    latch.key("w", True)
    assert [latch.take().keys for _ in range(3)] == [{"w"}] * 3
    latch.key("w", False)
    assert not latch.take().keys


def test_fast_turns_are_carried_over_and_bounded() -> None:
    latch = Latch(SPEC)
    latch.move(100, 50)  # 15 degrees at a limit of 10
    assert [latch.take().mouse[0] for _ in range(3)] == pytest.approx([10, 5, 0])
    latch.move(10_000, 0)
    assert [latch.take().mouse[0] for _ in range(3)] == pytest.approx([10, 10, 0])
    latch.move(-20, 0)
    assert latch.take().mouse == pytest.approx((-20 * DEGREES_PER_PIXEL, 0))


def test_keys_the_game_does_not_know_are_left_to_the_player() -> None:
    latch = Latch(SPEC)
    assert not latch.key("p", True)
    assert latch.key("left", True), "an arrow stands in for a"
    assert latch.take().keys == {"a"}


def test_losing_focus_lets_go() -> None:
    latch = Latch(SPEC)
    latch.key("w", True)
    latch.move(50, 0)
    latch.release()
    assert latch.take() == SPEC.neutral()


def test_sensitivity_scales_the_mouse() -> None:
    latch = Latch(SPEC, sensitivity=2.0)
    latch.move(10, 0)
    assert latch.take().mouse[0] == pytest.approx(2 * 10 * DEGREES_PER_PIXEL)


def test_what_is_held_as_a_whole_loses_no_tap_and_holds_nothing_for_ever() -> None:
    latch = Latch(SPEC)
    latch.hold({"a", "left", "z"}, {"left", "right"})
    latch.hold({"a"}, ())
    assert latch.take() == Controls(keys={"a"}, buttons={"left"})
    latch.hold({"left"}, ())  # the arrow stands in for the same key
    assert latch.take() == latch.take() == Controls(keys={"a"})
    latch.hold((), ())
    assert latch.take() == SPEC.neutral()
