"""Statistics of what was recorded, as LeRobot wants them in `meta/stats.json`.

For every feature: min, max, mean, std and count. Pictures have one number per colour, from 0 to 1, of shape (3, 1, 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURED = 16  # every so many frames one counts for the statistics of pictures

Summary = dict[str, Any]  # nested lists of numbers by name: min, max, mean, std, count
Stats = dict[str, Summary]  # by feature


class PictureSummary:
    """Gathers the statistics of an episode's pictures while it is recorded."""

    def __init__(self) -> None:
        self._parts: list[Summary] = []

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Takes one RGB frame, uint8 `(H, W, 3)`, into account."""
        self._parts.append(summarise(frame.reshape(-1, 3) / 255.0))

    def result(self) -> Summary:
        """Of all frames so far, at least one; the count is in frames."""
        whole = combine(self._parts)
        pictures = {name: np.reshape(whole[name], (3, 1, 1)).tolist() for name in ("min", "max", "mean", "std")}
        return {**pictures, "count": [len(self._parts)]}


def summarise(values: NDArray[Any]) -> Summary:
    """Of `(L, D)` or `(L,)` values, along the first axis."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    figures = {"min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0)}
    return {**{name: figure.tolist() for name, figure in figures.items()}, "count": [len(table)]}


def combine(parts: Iterable[Summary]) -> Summary:
    """The summary of all values behind some summaries of one feature, at least one (Chan et al. 1979, parallel variance)."""
    arrays = [{name: np.array(value, np.float64) for name, value in part.items()} for part in parts]
    counts = np.array([part["count"][0] for part in arrays])
    weights = (counts / counts.sum()).reshape(-1, *[1] * arrays[0]["mean"].ndim)
    mean = (weights * np.stack([part["mean"] for part in arrays])).sum(0)
    squares = np.stack([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in arrays])
    return {
        "min": np.min([part["min"] for part in arrays], axis=0).tolist(),
        "max": np.max([part["max"] for part in arrays], axis=0).tolist(),
        "mean": mean.tolist(),
        "std": np.sqrt((weights * squares).sum(0)).tolist(),
        "count": [int(counts.sum())],
    }


def combine_all(episodes: Iterable[Stats]) -> Stats:
    """The statistics of a dataset from those of its episodes."""
    by_feature: dict[str, list[Summary]] = {}
    for stats in episodes:
        for feature, summary in stats.items():
            by_feature.setdefault(feature, []).append(summary)
    return {feature: combine(parts) for feature, parts in by_feature.items()}
