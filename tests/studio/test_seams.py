from __future__ import annotations

import numpy as np

from worldsim.studio.seams import changes, crossfade, seam_ratio, seams


def test_a_seam_is_where_given_and_made_frames_meet() -> None:
    assert seams(np.array([1, 1, 0, 0, 1], bool)).tolist() == [1, 3]
    frames = np.zeros((5, 4, 4, 3), np.uint8)
    frames[2:4] = 12
    frames[4] = 18
    assert changes(frames).tolist() == [0, 12, 0, 6]
    assert seam_ratio(frames, np.array([1, 1, 0, 0, 1], bool), usual=4.0) == 3.0
    assert seam_ratio(frames, np.ones(5, bool), usual=4.0) == 0.0


def test_a_crossfade_goes_evenly() -> None:
    first, second = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 40, np.uint8)
    assert crossfade(first, second, 3)[:, 0, 0, 0].tolist() == [10, 20, 30]
