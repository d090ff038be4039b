from __future__ import annotations

import pytest

from worldsim.player.pacing import Pacer, Timings


def test_frames_keep_their_rate_when_each_is_a_little_late() -> None:
    pacer, now = Pacer(10.0, now=0.0), 0.0
    starts = []
    for _ in range(50):
        now += pacer.wait(now) + 0.004  # the loop wakes up a little late
        pacer.start(now)
        starts.append(now)
        now += 0.03  # making the frame
    assert starts[-1] - starts[0] == pytest.approx(4.9, abs=0.01)


def test_a_long_stall_is_not_made_up_for() -> None:
    pacer = Pacer(10.0, now=0.0)
    pacer.start(0.0)
    pacer.start(3.0)
    assert pacer.wait(3.0) == pytest.approx(0.1)


def test_timings_give_rate_and_percentiles() -> None:
    timings = Timings()
    assert timings.fps() == 0 and timings.percentile(99) == 0
    for i in range(100):
        timings.add(i * 0.05, 0.01 if i < 98 else 0.2)
    assert timings.fps() == pytest.approx(20)
    assert timings.percentile(50) == pytest.approx(0.01)
    assert timings.percentile(99) > 0.1
