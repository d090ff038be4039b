"""Whether long dreams still look like the game."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.eval.clips import Place
from worldsim.eval.collapse import PARTS, Gallery, Recorded, distances, measure_collapse
from worldsim.eval.rates import Dreamt


def moment(frames: np.ndarray, age: int, episode: int = 0, start: int = 0, counted: bool = True) -> Dreamt:
    one = np.array([1])
    return Dreamt(frames[None], np.array([counted]), one * episode, one * age, one * start)


def test_a_gallery_keeps_frames_evenly_by_age() -> None:
    gallery, frame = Gallery(400), np.zeros((32, 48, 3), np.uint8)
    for age in range(1, 401):
        gallery.add(moment(frame, age, counted=age != 8))
    frames, ages, _, _ = gallery.all()
    assert ages.tolist() == [age for age in range(4, 401, 4) if age != 8] and len(frames) == len(ages)


def test_frames_of_the_same_episode_are_not_near() -> None:
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[1], frames[2] = 10, 40
    pool = Recorded(frames, np.array([0, 1, 2]))
    assert distances(pool, pool) == pytest.approx([10, 10, 30], abs=1e-3)
    assert np.isinf(distances(pool, Recorded(frames[:1], np.array([0])))).tolist() == [True, False, False]


def test_a_dream_that_falls_apart_shows_in_the_curve(recorded: Dataset) -> None:
    gallery = Gallery(100)
    real = recorded.frames(1, 3, 4)[0]  # grey, as frames of other episodes are
    for age in range(1, 101):
        gallery.add(moment(real if age <= 50 else np.full_like(real, (255, 0, 0)), age))
    figures = measure_collapse(gallery, recorded, [Place(0, 0, 0)], None, {})
    assert figures["ages"] == list(range(10, 101, 10)) and len(figures["like_the_game"]) == PARTS
    assert [e.value for e in figures["like_the_game"]] == [1] * 5 + [0] * 5
    assert figures["like_the_game_real"].value >= 0.9


def test_one_episode_alone_cannot_tell(recorded: Dataset) -> None:
    recorded.episodes = recorded.episodes[:1]
    gallery = Gallery(10)
    gallery.add(moment(recorded.frames(0, 0, 1)[0], 1))
    figures = measure_collapse(gallery, recorded, [Place(0, 0, 0)], None, {})
    assert math.isnan(figures["threshold"]) and all(math.isnan(e.value) for e in figures["like_the_game"])


@pytest.mark.parametrize("length", [3, 25])
def test_short_dreams_have_fewer_parts(recorded: Dataset, length: int) -> None:
    gallery = Gallery(length)
    for age in range(1, length + 1):
        gallery.add(moment(recorded.frames(0, 0, 1)[0], age))
    figures = measure_collapse(gallery, recorded, [Place(0, 0, 0)], None, {})
    assert figures["ages"][-1] == length and len(figures["ages"]) == min(PARTS, length)
    assert sum(e.count for e in figures["like_the_game"]) == length
