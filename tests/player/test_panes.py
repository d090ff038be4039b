from __future__ import annotations

import numpy as np
import pytest

from worldsim.player.panes import GAP, arrange, fit_zoom, take_picture, window_size

WINDOWS = [(160, 120), (320, 240), (640, 400), (1280, 800), (480, 1000), (1900, 300)]


def test_zooms_are_whole_unless_much_would_be_lost() -> None:
    assert fit_zoom((128, 80), (768, 480)) == 6
    assert fit_zoom((128, 80), (800, 500)) == 6
    assert fit_zoom((128, 80), (634, 800)) == 634 / 128, "4 would leave a fifth of the window empty"
    assert fit_zoom((640, 360), (320, 320)) == 0.5, "a frame larger than the window shrinks"


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("frame", [(128, 80), (128, 32), (640, 360)])
@pytest.mark.parametrize("count", [1, 2])
def test_frames_fit_and_keep_their_distance(frame: tuple[int, int], count: int, window: tuple[int, int]) -> None:
    header = 20 if count > 1 else 0
    places = [place.area for place in arrange(frame, count, window, header)]
    assert all(place.left >= 0 and place.top >= header for place in places)
    assert all(place.right <= window[0] and place.bottom <= window[1] for place in places)
    assert all(abs(place.width / place.height - frame[0] / frame[1]) < 0.1 * frame[0] / frame[1] for place in places)
    if count == 2:
        one, other = places
        assert one.size == other.size
        assert other.left - one.right == GAP or other.top - header - one.bottom == GAP


def test_a_window_is_not_left_half_empty() -> None:
    for frame, window in (((128, 80), (1280, 800)), ((128, 80), (480, 900)), ((128, 32), (900, 600))):
        areas = [place.area for place in arrange(frame, 2, window)]
        used = max(areas[-1].right - areas[0].left, 0) / window[0], (areas[-1].bottom - areas[0].top) / window[1]
        assert max(used) > 0.9


def test_a_window_grows_with_what_it_shows_and_stays_on_the_screen() -> None:
    assert window_size((128, 80), 1, 6, (1920, 1080)) == (768, 480)
    assert window_size((128, 80), 2, 6, (1920, 1080), header=20) == (2 * 768 + GAP, 500)
    assert window_size((128, 32), 2, 6, (1920, 1080), header=20) == (768, 2 * (192 + 20) + GAP)
    assert window_size((128, 80), 2, 64, (1366, 768)) == (2 * 640 + GAP, 400)
    assert window_size((640, 360), 2, 6, (800, 600)) == (800, 360)


def test_a_picture_holds_the_frames_and_nothing_else() -> None:
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 200
    blue = np.roll(red, 2, axis=2)
    assert (take_picture({"dream": red}, (60, 50)) == [200, 0, 0]).all()
    both = take_picture({"dream": red, "real": blue}, (2 * 60 + GAP, 40))
    assert both.shape == (40, 2 * 60 + GAP, 3)
    assert (both[:, :60] == [200, 0, 0]).all() and (both[:, -60:] == [0, 0, 200]).all()
