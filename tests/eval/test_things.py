"""Things of which there is one: visible or not, how many, and where."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.eval.objects import ZOOM, _too_small, search
from worldsim.eval.probe import SMALLEST, Probe, detect, fade, heat_map, train_probe
from worldsim.eval.things import KEPT, Places, around, faded, places_found, places_listed, single, thing_figures

from .test_objects import boxes


def balls(count: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Dark frames 32x48 with at most one white ball of 1x2 pixels, and a bar in a corner."""
    rng = np.random.default_rng(seed)
    frames, labels = np.full((count, 32, 48, 3), 20, np.uint8), []
    frames[:, :8, :8] = 250
    for frame in frames:
        x, y = int(rng.integers(10, 46)), int(rng.integers(2, 28))
        there = rng.random() < 0.8
        if there:
            frame[y : y + 2, x] = 240
        labels.append(boxes((0, x, y, 1, 2)) if there else boxes())
    return frames, labels


def found(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_of_several_finds_the_most_certain_one_is_the_place() -> None:
    seen = places_found([[found((0, 5, 6, 0.9), (0, 1, 1, 0.4)), found()], [found((1, 2, 3, 0.5))]], frames=2, classes=2)
    assert seen.counts.tolist() == [[[2, 0], [0, 0]], [[0, 1], [0, 0]]]
    assert seen.centres[0, 0, 0].tolist() == [5, 6] and seen.centres[1, 0, 1].tolist() == [2, 3]
    assert np.isnan(seen.centres[0, 1]).all()


def test_figures_of_a_thing_that_is_moved_doubled_lost_and_made_up() -> None:
    truth = places_listed([4 * [boxes((0, 10, 10, 2, 2))] + [boxes()]], frames=6, classes=1)
    seen = places_found(
        [[found((0, 11, 11, 1)), found((0, 14, 15, 1)), found((0, 11, 12, 1), (0, 30, 9, 0.5)), found(), found((0, 1, 1, 1))]],
        6,
        1,
    )
    exists = np.array([[True] * 5 + [False]])
    figures = thing_figures(seen, truth, 0, exists, (1, 2, 3, 4, 5))
    assert figures["visible"].value == 0.75 and figures["visible"].count == 4
    assert figures["elsewhere"].value == 1 and figures["elsewhere"].count == 1
    assert figures["at_most_one"].value == 0.8 and figures["at_most_one"].count == 5
    assert [e.value for e in figures["error"][:4]] == [0, 5, 1, math.inf] and math.isnan(figures["error"][4].value)
    assert [e.value for e in figures["near"][:4]] == [1, 0, 1, 0]


def test_only_things_of_which_there_is_never_more_than_one_count() -> None:
    counts = np.array([[[1, 0, 1], [1, 0, 2], [0, 0, 1]]])
    assert single(Places(counts, np.zeros((1, 3, 3, 2), np.float32))) == [0]


def test_quality_around_a_thing_ignores_the_rest_of_the_picture() -> None:
    real = np.zeros((1, 2, 32, 48, 3), np.uint8)
    dream = real.copy()
    dream[0, 0, 20:, 30:] = 255
    dream[0, 1, 8:14, 8:14] = 25
    values = around([[boxes((1, 10, 10, 2, 2))] * 2], 1, dream, real)
    assert values[0, 0] == pytest.approx(58.9, abs=0.1)
    assert values[0, 1] == pytest.approx(10 * np.log10(255**2 / (25**2 * 0.36)), abs=0.1)  # 36 of 100 pixels
    assert np.isnan(around([[boxes()]], 1, dream, real)).all()


def test_fading_takes_contrast_from_the_box_alone() -> None:
    frames, labels = balls(8, 0)
    (i, *_) = [i for i, of in enumerate(labels) if len(of)]
    frame, (box,) = frames[i].copy(), labels[i]
    x, y = int(box[1]), int(box[2])
    fade(frame, box, 0.5)
    assert (frame[y : y + 2, x] == 130).all()
    changed = (frame != frames[i]).any(-1)
    assert changed.sum() == 2
    fade(frame, box, 0.0)
    assert (frame[y : y + 2, x] == 20).all()


def test_a_probe_that_looks_twice_as_closely_finds_what_is_smaller() -> None:
    train, labels = balls(300, 0)
    assert _too_small(labels, 1) and ZOOM == 2
    assert not _too_small([boxes((0, 3, 3, SMALLEST, 4)), boxes()], 1)
    probe = train_probe(train, labels, apart=(0,), steps=150, seed=0, zoom=ZOOM)
    assert probe.smallest == SMALLEST / ZOOM
    assert heat_map(labels[0], 32, 48, 1, ZOOM).shape == (1, 32, 48)
    frames, truth = balls(100, 1)
    places = places_found([detect(probe, frames)], 100, 1)
    figures = thing_figures(places, places_listed([truth], 100, 1), 0, np.ones((1, 100), bool), (1,))
    assert figures["visible"].value > 0.95 and figures["elsewhere"].value < 0.1 and figures["at_most_one"].value > 0.95
    there = np.array([len(of) for of in truth], bool)
    apart = np.linalg.norm(places.centres[0, :, 0] - places_listed([truth], 100, 1).centres[0, :, 0], axis=-1)[there]
    assert np.nanmedian(apart) <= 1
    bright, pale, every = faded(probe, frames[None], [truth], 1)[0, 0]
    assert KEPT == (0.75, 0.25) and bright > 0.8 * every and pale < 0.2 * every


def test_frames_after_a_clips_end_are_not_searched() -> None:
    frames, labels = balls(6, 0)
    (clip,) = search(Probe((0,), 2).eval(), frames[None], [labels[:4]])
    assert len(clip) == 4
