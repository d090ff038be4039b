"""Size, crop and resizing of frames."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.envs.games.infer.picture import (
    best_size,
    changing_box,
    check_size,
    choose_picture,
    drawn_box,
    small_things,
)
from worldsim.errors import GameError


def clip(size: int, *, frames: int = 24, shape: tuple[int, int] = (192, 160), speed: int = 5, ground: int = 40) -> np.ndarray:
    """A white square of `size` pixels that moves over a grey ground."""
    out = np.full((frames, *shape, 3), ground, np.uint8)
    for t in range(frames):
        y, x = (17 + speed * t) % (shape[0] - size), (11 + speed * t) % (shape[1] - size)
        out[t, y : y + size, x : x + size] = 240
    return out


def test_a_small_bright_thing_wants_max() -> None:
    look = choose_picture([clip(1)], "observation", size=(96, 80))
    assert look.picture.resize == "max" and look.kept["max"] == 1 and look.kept["area"] < 0.5
    assert look.thinnest == 0.5 and look.small and "0.5 pixels wide" in look.notes[0]


def test_a_large_thing_is_averaged() -> None:
    look = choose_picture([clip(24)], "observation", size=(96, 80))
    assert look.picture.resize == "area" and look.thinnest == 12 and not look.small and not look.notes


def test_a_small_dark_thing_is_not_wiped_out() -> None:
    look = choose_picture([255 - clip(2)], "observation", size=(96, 80))
    assert look.kept["max"] < 0.6 and look.picture.resize == "area"


def test_only_the_edge_of_a_large_thing_moves() -> None:
    """A bar that creeps by a pixel differs in thin lines, and is no small thing."""
    still = np.full((24, 192, 160, 3), 40, np.uint8)
    for t in range(24):
        still[t, 60 + t : 100 + t, 40:80] = (200, 90, 30)
    thinnest = choose_picture([still], "observation", size=(96, 80)).thinnest
    assert thinnest is not None and thinnest > 10


def test_where_the_whole_view_moves_nothing_is_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 96, 96, 3), dtype=np.uint8)
    look = choose_picture([noise], "observation")
    assert look.thinnest is None and look.picture.resize == "area" and not look.small


def test_where_the_grain_of_a_view_moves_nothing_is_small() -> None:
    """Walls of a maze, say: they hardly change in colour, but their many specks do."""
    grain = np.random.default_rng(0).random((96, 128 + 12)) < 0.08
    walls = np.where(grain, 170, 90).astype(np.uint8)
    view = np.stack([walls[:, t : t + 128, None].repeat(3, 2) for t in range(12)])
    look = choose_picture([view], "observation")
    assert look.thinnest is None and look.picture.resize == "area"


def test_what_is_drawn_lies_inside_plain_ground() -> None:
    view = np.full((2, 60, 50, 3), 90, np.uint8)
    assert drawn_box([view]) == (0, 0, 60, 50)
    view[:, :, 40:] = 20  # a wall of one colour
    view[:, 8:10, 5:7] = 200
    assert drawn_box([view]) == (7, 4, 11, 41)


def test_things_that_stand_still_are_cut_only_where_that_is_worth_it() -> None:
    """A goal at the edge of a large picture stays; the name of a company below the small one of a console goes."""
    changing = (20, 10, 380, 540)
    assert best_size((0, 0, 400, 600), changing, drawn=(20, 0, 380, 600))[2][1::2] == (0, 600)
    assert best_size((0, 0, 400, 600), changing, drawn=changing)[2][1::2] != (0, 600)
    assert best_size((0, 0, 210, 160), (5, 8, 194, 160), drawn=(5, 8, 202, 160))[2] == (3, 0, 195, 160)


def test_what_differs_from_start_to_start_is_not_cut() -> None:
    """The cards of a dealer, which stay as they are for a whole episode."""
    games = [clip(4, frames=6, shape=(60, 50)) for _ in range(2)]
    games[1][:, 2:6, 30:34] = 250
    assert changing_box(games) == (2, 11, 46, 40)


def test_what_changes_is_found_and_cuts_do_not_count() -> None:
    moving = clip(4, frames=6, shape=(60, 50))
    assert changing_box([moving]) == (17, 11, 46, 40)
    cut = moving.copy()
    cut[0] = 200  # such as a blank frame at the start of an episode
    assert changing_box([cut]) == (22, 16, 46, 40)
    assert changing_box([np.zeros((3, 60, 50, 3), np.uint8)]) == (0, 0, 60, 50)


def test_a_whole_number_of_pixels_becomes_one_where_that_cuts_nothing_that_changes() -> None:
    height, width, box = best_size((0, 0, 210, 160), (5, 8, 196, 152))  # Breakout
    assert (height, width) == (96, 80) and box[2] - box[0] == 192 and box[3] - box[1] == 160
    assert box[0] <= 5 and box[2] >= 196
    height, width, box = best_size((0, 0, 210, 160), (1, 16, 194, 159))  # Pong: one row of 193 goes
    assert (height, width) == (96, 80) and box == (1, 0, 193, 160)


def test_frames_that_fit_stay_as_they_are() -> None:
    for side in (64, 96):
        assert best_size((0, 0, side, side), (0, 0, side, side)) == (side, side, (0, 0, side, side))


def test_where_everything_changes_nothing_is_cut() -> None:
    height, width, box = best_size((0, 0, 210, 160), (0, 0, 210, 160))
    assert box == (0, 0, 210, 160) and height * width <= 40 * 256


def test_a_size_that_is_given_is_kept() -> None:
    assert best_size((0, 0, 210, 160), (5, 8, 196, 152), (80, 128))[:2] == (80, 128)
    for size in ((90, 80), (0, 80), (160, 160)):
        with pytest.raises(GameError, match="size was"):
            check_size(size)


def test_a_crop_that_is_given_is_kept() -> None:
    look = choose_picture([clip(4)], "observation", crop=(0, 0, 160, 160), how="nearest")
    assert look.picture.crop == (0, 0, 160, 160) and look.picture.resize == "nearest"
    with pytest.raises(GameError, match="160x192"):
        choose_picture([clip(4)], "observation", crop=(0, 0, 300, 160))


def test_large_pictures_are_looked_at_coarsely() -> None:
    look = choose_picture([clip(40, frames=8, shape=(400, 600), speed=30)], "render")
    assert look.picture.source == "render" and look.thinnest is not None and 6 < look.thinnest < 9
    assert look.picture.height * look.picture.width <= 40 * 256


def test_the_smallest_thing_is_found_among_larger_ones() -> None:
    both = np.maximum(clip(20), clip(3, speed=7))
    things = small_things([both], 2)
    assert sorted(thing.side for thing in things)[len(things) // 2] == 3
