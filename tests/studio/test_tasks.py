from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.errors import StudioError
from worldsim.studio import tasks


def clip(frames: int, value: int = 9) -> np.ndarray:
    return np.full((frames, 16, 16, 3), value, np.uint8)


def test_each_task_says_which_frames_are_given() -> None:
    assert tasks.blank(3, (32, 16)).frames.shape == (3, 16, 32, 3)
    assert tasks.animate(clip(1)[0], 4).given.tolist() == [True, False, False, False]
    assert tasks.extend(clip(2), after=1, before=2).given.tolist() == [False, False, True, True, False]
    joined = tasks.connect(clip(2), clip(1, 5), 3)
    assert joined.given.tolist() == [True, True, False, False, False, True] and (joined.frames[-1] == 5).all()
    assert tasks.loop(clip(4), 2).given.tolist() == [True] * 4 + [False] * 2 + [True] * 2
    assert len(tasks.closed(tasks.loop(clip(4), 2).frames, 4, 2)) == 6
    edited = tasks.edit(clip(3), 0.5)
    assert not edited.given.any() and edited.strength == 0.5 and (edited.frames == 9).all()


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(2, 16))
def test_windows_make_every_frame_once_known_ones_first(given: list[bool], window: int) -> None:
    known, overlap = np.array(given), window // 2
    for begin, stop in tasks.windows(known, window, overlap):
        assert 0 <= begin < stop <= len(given) and stop - begin == min(window, len(given))
        assert not known[begin:stop].all(), "something is left to make"
        if known.any():
            assert known[begin:stop].any(), "it joins what is known"
        known[begin:stop] = True
    assert known.all()


def test_a_clip_grows_backward_from_its_beginning_and_forward_from_its_end() -> None:
    given = np.zeros(40, bool)
    given[18:22] = True
    assert tasks.windows(given, 16, 8) == [(10, 26), (2, 18), (0, 16), (18, 34), (24, 40)]


def test_a_short_gap_is_seen_with_both_sides() -> None:
    given = np.ones(40, bool)
    given[20:26] = False
    assert tasks.windows(given, 16, 8) == [(15, 31)]


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(StudioError, match="after and before were 0"):
        tasks.extend(clip(2))
    with pytest.raises(StudioError, match="give two of one size"):
        tasks.connect(clip(2), np.zeros((2, 32, 16, 3), np.uint8), 3)
    with pytest.raises(StudioError, match="strength was 0"):
        tasks.edit(clip(2), 0)
    with pytest.raises(StudioError, match="frames was 1"):
        tasks.animate(clip(1)[0], 1)
