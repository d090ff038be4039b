"""Things of which a game has one, such as a ball: whether a world still shows them, how many, and where.

Truth is the game's own list of what it shows, in held-out episodes that are played again. What frames show is read by the probe,
which has only seen real frames, so every figure stands beside the probe's own on real frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsim.eval.fidelity import ROUNDING, Estimate, masked
from worldsim.eval.probe import Boxes, Probe, detect, fade

NEAR = 2.0  # pixels up to which a position counts as right
MARGIN = 4.0  # pixels around the player in which wrong controls have to show
KEPT = (0.75, 0.25)  # shares of its contrast that a thing keeps, to find out from which on the probe sees it
EVERY = 8  # every eighth frame is used for that


class Places(NamedTuple):
    """Where the things are in frames.

    Attributes:
        counts: of each class, int64 `(clips, F, classes)`.
        centres: of one thing of each class, the most certain one, in pixels (x, y), float32 `(clips, F, classes, 2)`; NaN where
            there is none.
    """

    counts: NDArray[np.int64]
    centres: NDArray[np.float32]


def places_found(found: Sequence[Sequence[NDArray[np.float32]]], frames: int, classes: int) -> Places:
    """Places of what a probe found: per clip and frame, see `detect`; clips may be shorter than `frames`."""
    places = _nowhere(len(found), frames, classes)
    for b, of_clip in enumerate(found):
        for t, of_frame in enumerate(of_clip):
            for kind, x, y, _ in of_frame[::-1]:  # the most certain one last
                places.counts[b, t, int(kind)] += 1
                places.centres[b, t, int(kind)] = x, y
    return places


def places_listed(boxes: Sequence[Sequence[Boxes]], frames: int, classes: int) -> Places:
    """Places of what a game lists: boxes per clip and frame; clips may be shorter than `frames`."""
    places = _nowhere(len(boxes), frames, classes)
    for b, of_clip in enumerate(boxes):
        for t, of_frame in enumerate(of_clip):
            for kind, x, y, w, h in of_frame:
                places.counts[b, t, int(kind)] += 1
                places.centres[b, t, int(kind)] = x + w / 2, y + h / 2
    return places


def _nowhere(clips: int, frames: int, classes: int) -> Places:
    shape = (clips, frames, classes)
    return Places(np.zeros(shape, np.int64), np.full((*shape, 2), np.nan, np.float32))


def single(truth: Places) -> list[int]:
    """Classes of which there is one in some frames, and more in none."""
    return [int(kind) for kind in np.flatnonzero(truth.counts.max((0, 1)) == 1)]


def thing_figures(seen: Places, truth: Places, kind: int, exists: NDArray[np.bool_], horizons: Sequence[int]) -> dict[str, Any]:
    """What frames show of one thing.

    Args:
        seen: in these frames.
        truth: where the thing really is.
        kind: its class.
        exists: `(clips, F)`, where there is a real frame.
        horizons: frames after the context, counted from 1.

    Returns:
        `visible`, the share of frames that show it, of those in which the game does; `elsewhere`, of those in which the game
        does not; `at_most_one`, the share of all frames that show one or none; at each horizon, of the frames in which the game
        shows it, `error`, the median distance in pixels (infinite where it is lost), and `near`, the share up to `NEAR` pixels.
    """
    there = (truth.counts[..., kind] == 1) & exists
    shown = seen.counts[..., kind] > 0
    distance = np.linalg.norm(seen.centres[..., kind, :] - truth.centres[..., kind, :], axis=-1)
    distance = np.where(shown, distance, np.inf)
    picked = [(distance[:, h - 1], there[:, h - 1]) for h in horizons]
    return {
        "visible": masked(shown.astype(float), there),
        "elsewhere": masked(shown.astype(float), exists & ~there),
        "at_most_one": masked((seen.counts[..., kind] <= 1).astype(float), exists),
        "error": [_median(values[of]) for values, of in picked],
        "near": [masked((values <= NEAR).astype(float)[:, None], of[:, None]) for values, of in picked],
    }


def _median(values: NDArray[np.floating[Any]]) -> Estimate:
    return Estimate(float(np.median(values)) if len(values) else np.nan, np.nan, len(values))


def around(
    boxes: Sequence[Sequence[Boxes]], kind: int, frames: NDArray[np.uint8], others: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """PSNR of frames in the box around a thing, `MARGIN` pixels wider on each side.

    Args:
        boxes: per clip and frame; clips may be shorter than `frames`.
        kind: class of the thing.
        frames, others: uint8 `(clips, F, H, W, 3)`.

    Returns:
        dB, `(clips, F)`; NaN where it is not there.
    """
    values = np.full(frames.shape[:2], np.nan)
    for b, of_clip in enumerate(boxes):
        for t, of_frame in enumerate(of_clip):
            for _, x, y, w, h in of_frame[of_frame[:, 0] == kind][:1]:
                rows = slice(max(int(y - MARGIN), 0), int(np.ceil(y + h + MARGIN)))
                columns = slice(max(int(x - MARGIN), 0), int(np.ceil(x + w + MARGIN)))
                one, other = (of[b, t, rows, columns].astype(np.float64) for of in (frames, others))
                values[b, t] = 10 * np.log10(255**2 / max(np.square(one - other).mean(), ROUNDING))
    return values


def faded(probe: Probe, frames: NDArray[np.uint8], boxes: Sequence[Sequence[Boxes]], classes: int) -> NDArray[np.int64]:
    """How many things the probe still sees that have lost contrast: nearly all of those that keep three quarters, and hardly any
    that keep a quarter, if it is fair to what is blurred.

    Args:
        probe: to be tried.
        frames: real ones, uint8 `(clips, F, H, W, 3)`.
        boxes: per clip and frame.
        classes: how many there are.

    Returns:
        `(clips, classes, len(KEPT) + 1)`: for each of `KEPT` the things that are seen, then all things that were faded.
    """
    totals = np.zeros((len(boxes), classes, len(KEPT) + 1), np.int64)
    places = [(b, t, box) for b, of in enumerate(boxes) for t in range(0, len(of), EVERY) for box in of[t]]
    for i, kept in enumerate(KEPT) if places else ():
        pale = np.stack([frames[b, t] for b, t, _ in places])
        for frame, (_, _, box) in zip(pale, places, strict=True):
            fade(frame, box, kept)
        for found, (b, _, box) in zip(detect(probe, pale), places, strict=True):
            totals[b, int(box[0]), i] += bool((found[:, 0] == box[0]).any())
    for b, _, box in places:
        totals[b, int(box[0]), -1] += 1
    return totals
