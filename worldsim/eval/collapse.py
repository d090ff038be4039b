"""Whether long dreams still look like the game, however far they have gone from any recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.eval.clips import Place
from worldsim.eval.fidelity import estimate
from worldsim.eval.probe import Probe, detect, tally
from worldsim.eval.rates import Dreamt

PARTS = 10  # of a dream, for which figures are given
SAMPLES = 100  # frames of a dream that are looked at
POOL, QUERIES, EPISODES = 4000, 1000, 40  # recorded frames to compare with and to compare, and episodes they are taken from
USUAL = 99.0  # percent of recorded frames that look like the game
BLOCK = 2  # pixels of a side that are averaged before frames are compared


class Gallery:
    """Keeps frames of long dreams, spread evenly over each.

    Args:
        length: of the dreams in frames.
    """

    def __init__(self, length: int) -> None:
        self.length, self._every = length, max(1, length // SAMPLES)
        self._kept: list[tuple[NDArray[Any], ...]] = []

    def add(self, moment: Dreamt) -> None:
        """Keeps those of a moment's frames whose turn it is, by their age."""
        rows = np.flatnonzero(moment.counted & (moment.age % self._every == 0))
        if len(rows):
            self._kept.append((moment.frames[rows], moment.age[rows], moment.episode[rows], moment.start[rows]))

    def all(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Frames `(n, H, W, 3)`; for each its number in its dream, from 1; its dream; and the start context of that."""
        frames, ages, episodes, starts = (np.concatenate(part) for part in zip(*self._kept, strict=True))
        return frames, ages, episodes, starts


class Recorded(NamedTuple):
    """Recorded frames, uint8 `(n, H, W, 3)`, and the held-out episodes they are from, -1 for those of training."""

    frames: NDArray[np.uint8]
    episode: NDArray[np.int64]


def measure_collapse(
    gallery: Gallery, dataset: Dataset, places: Sequence[Place], probe: Probe | None, one: dict[str, int]
) -> dict[str, Any]:
    """How many frames of long dreams look like the game, by age.

    A frame looks like the game if a recorded frame is as near to it as to nearly every held-out frame of the game itself.
    "Near" is the root of the mean squared difference of pixels, after a slight blur. Frames of the episode that a frame or a
    dream comes from do not count as near.

    Args:
        gallery: frames of the dreams.
        dataset: the split "eval".
        places: where the start contexts of the dreams lie in it.
        probe: of the game's objects, or None.
        one: name -> class of the things of which the game never shows two.

    Returns:
        `ages`, the last frame of each part of a dream; `like_the_game`, the share of frames that look like it, by part, and
        `like_the_game_real` of held-out frames; `threshold` in grey levels; and `at_most_one` and `shown` by thing, the shares
        of frames that show not more than one, and that show one at all, by part, and the same of held-out frames as `..._real`.
    """
    frames, ages, episodes, starts = gallery.all()
    queries = recorded_frames(dataset, range(len(dataset)), QUERIES)
    pool = _pool(dataset)
    own = distances(queries, pool)
    threshold = float(np.percentile(own[np.isfinite(own)], USUAL)) if np.isfinite(own).any() else np.nan
    comes_from = np.array([place.episode for place in places])[starts]
    near = distances(Recorded(frames, comes_from), pool) <= threshold
    ends = np.unique(np.linspace(0, gallery.length, PARTS + 1).astype(int))[1:]
    parts = [(first < ages) & (ages <= last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]

    def by_part(values: NDArray[np.bool_]) -> list[Any]:
        sums = [np.bincount(episodes[part], values[part], episodes.max() + 1) for part in parts]
        counts = [np.bincount(episodes[part], minlength=episodes.max() + 1) for part in parts]
        return [estimate(s, c if np.isfinite(threshold) else 0 * c) for s, c in zip(sums, counts, strict=True)]

    def of_real(values: NDArray[np.bool_]) -> Any:
        _, group = np.unique(queries.episode, return_inverse=True)
        return estimate(np.bincount(group, values), np.bincount(group))

    figures: dict[str, Any] = {
        "ages": ends.tolist(),
        "threshold": threshold,
        "like_the_game": by_part(near),
        "like_the_game_real": of_real(own <= threshold),
        **{name: {} for name in ("at_most_one", "at_most_one_real", "shown", "shown_real")},
    }
    if probe is not None and one:
        dreamt, real = (_counts(probe, of) for of in (frames, queries.frames))
        for name, few, many in (("at_most_one", 0, 1), ("shown", 1, np.inf)):
            for thing, kind in one.items():
                figures[name][thing] = by_part((few <= dreamt[:, kind]) & (dreamt[:, kind] <= many))
                figures[f"{name}_real"][thing] = of_real((few <= real[:, kind]) & (real[:, kind] <= many))
    return figures


def _counts(probe: Probe, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Things that the probe finds in frames `(n, H, W, 3)`, by class: `(n, classes)`."""
    return np.stack([tally(found, len(probe.apart)) for found in detect(probe, frames)])


def recorded_frames(dataset: Dataset, episodes: Sequence[int], count: int) -> Recorded:
    """About `count` frames, spread evenly over up to `EPISODES` of the episodes at these positions."""
    chosen = [episodes[i] for i in np.unique(np.linspace(0, len(episodes) - 1, min(EPISODES, len(episodes))).astype(int))]
    every = max(1, sum(dataset.episodes[i].length for i in chosen) // count)
    frames = [dataset.frames(i)[::every] for i in chosen]
    return Recorded(np.concatenate(frames), np.repeat(chosen, [len(of) for of in frames]))


def _pool(dataset: Dataset) -> Recorded:
    """Frames to compare with: those of training, which are more, where the dataset has any."""
    whole = Dataset(dataset.root)
    train = [i for i, episode in enumerate(whole.episodes) if episode.split == "train"]
    if not train:
        return recorded_frames(dataset, range(len(dataset)), POOL)
    frames, _ = recorded_frames(whole, train, POOL)
    return Recorded(frames, np.full(len(frames), -1))


def distances(frames: Recorded, pool: Recorded) -> NDArray[np.float64]:
    """From each frame to the nearest in `pool` that is not of the same episode, in grey levels; infinite if there is none."""
    wanted = _blurred(pool.frames)
    nearest = []
    for part, episode in zip(_parts(frames.frames), _parts(frames.episode), strict=True):
        apart = torch.cdist(_blurred(part), wanted).numpy() / np.sqrt(wanted.shape[1])
        nearest.append(np.where(episode[:, None] == pool.episode, np.inf, apart).min(1, initial=np.inf))
    return np.concatenate(nearest)


def _parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (values[at : at + 256] for at in range(0, len(values), 256))


def _blurred(frames: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 `(n, H, W, 3)` -> float32 `(n, D)`, means over blocks."""
    n, height, width, colours = frames.shape
    blocks = frames.reshape(n, height // BLOCK, BLOCK, width // BLOCK, BLOCK, colours)
    return torch.from_numpy(blocks.mean((2, 4), dtype=np.float32).reshape(n, -1))
