"""From runs to figures: means with bootstrap intervals, gaps, rank correlations, impossible scores and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldsim.transfer.config import DREAM, EQUAL, RANDOM, SHUFFLED, UNTRAINED, TransferConfig

if TYPE_CHECKING:
    from worldsim.envs.games import Bar

BASELINES = (RANDOM, UNTRAINED, EQUAL, SHUFFLED)
Runs = Sequence[Mapping[str, Any]]


def summarise(
    rows: Mapping[str, Runs], levels: Mapping[str, Runs], config: TransferConfig, bars: Sequence[Bar] = ()
) -> dict[str, Any]:
    """Figures of the card.

    Args:
        rows: runs of each row.
        levels: runs of the dream row at each level of randomness.
        config: what they were made with.
        bars: scores that the dream row should exceed, besides the other rows.

    Returns:
        `summary` of every row, `randomness` (the same of every level), `correlation` over checkpoints, `impossible` scores
        and `bars`.
    """
    summary = {name: _summary(runs, config) for name, runs in rows.items() if runs}
    return {
        "summary": summary,
        "randomness": {level: _summary(runs, config) for level, runs in levels.items() if runs},
        "correlation": _correlation(rows[DREAM]),
        "impossible": impossible([run for runs in (*rows.values(), *levels.values()) for run in runs], config),
        "bars": _bars(summary, bars),
    }


def bootstrap(runs: Sequence[Sequence[float]], resamples: int, seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean over runs: runs are drawn with replacement, then episodes within each (Efron 1979)."""
    rng, means = np.random.default_rng(seed), np.zeros(resamples)
    drawn = rng.integers(len(runs), size=(resamples, len(runs)))
    for place in range(len(runs)):
        for index, run in enumerate(runs):
            here = np.flatnonzero(drawn[:, place] == index)
            means[here] += np.asarray(run)[rng.integers(len(run), size=(len(here), len(run)))].mean(1) / len(runs)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where either is constant."""
    first, second = (_ranks(np.asarray(values, np.float64)) for values in (x, y))
    if min(first.std(), second.std()) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def impossible(runs: Runs, config: TransferConfig) -> list[dict[str, Any]]:
    """Runs with dream scores above the largest possible one: their policies exploit an error of the world."""
    limit, found = config.largest_score * (1 + config.tolerance), []
    for run in runs:
        above = [score for score in run.get("dream_scores", ()) if score > limit]
        entry = {"run": run["run"], "largest": max(above, default=0.0), "count": len(above)}
        if above and entry not in found:  # the first level's runs are those of the dream row
            found.append(entry)
    return found


def _summary(runs: Runs, config: TransferConfig) -> dict[str, Any]:
    """Means over runs with their intervals; what was not measured is None.

    `gap` is dream score minus real score from the same moments, `gap_from_start` minus the real score of whole episodes.
    """
    scores, every = [run["scores"] for run in runs], np.concatenate([run["scores"] for run in runs])
    dreamed, matched = ([run[name] for run in runs if run.get(name)] for name in ("dream_scores", "matched_scores"))
    pairs = zip(dreamed, matched, strict=True) if len(dreamed) == len(matched) else ()
    gaps = [(np.asarray(dream) - np.asarray(real)).tolist() for dream, real in pairs]
    low, high = bootstrap(scores, config.resamples)
    (dream, dream_interval), (real, real_interval), (gap, gap_interval) = (
        _mean(part, config.resamples) for part in (dreamed, matched, gaps)
    )
    mean = _mean_of_means(scores)
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "std": float(every.std()),
        "median": float(np.median(every)),
        "capped": float((every >= config.largest_score).mean()),
        "runs": len(runs),
        "episodes": len(every),
        "by_run": [float(np.mean(run)) for run in scores],
        "real_frames": runs[0]["real_frames"],
        "dream": dream,
        "dream_interval": dream_interval,
        "matched": real,
        "matched_interval": real_interval,
        "gap": gap,
        "gap_interval": gap_interval,
        "gap_from_start": None if dream is None else dream - mean,
    }


def _mean(runs: Sequence[Sequence[float]], resamples: int) -> tuple[float | None, tuple[float, float] | None]:
    """Mean over runs and its interval, or None and None."""
    return (_mean_of_means(runs), bootstrap(runs, resamples)) if runs else (None, None)


def _mean_of_means(runs: Sequence[Sequence[float]]) -> float:
    return float(np.mean([np.mean(run) for run in runs]))


def _correlation(runs: Runs) -> dict[str, Any]:
    """Between dream and real score, over the checkpoints of each run and over all of them."""
    by_run, points = [], []
    for run in runs:
        own = [
            {"world": run["run"]["world"], "steps": c["steps"], "dream": c["training"], "real": c["real"]}
            for c in run["checkpoints"]
            if c["training"] is not None
        ]
        by_run.append({"run": run["run"], "correlation": _correlate(own)})
        points += own
    return {"checkpoints": len(points), "pooled": _correlate(points), "by_run": by_run, "points": points}


def _correlate(points: Runs) -> float:
    if not points:
        return float("nan")
    return rank_correlation([point["dream"] for point in points], [point["real"] for point in points])


def _bars(summary: Mapping[str, Any], published: Sequence[Bar]) -> list[dict[str, Any]]:
    """What the dream row has to exceed."""
    dream = summary[DREAM]
    bars = [(f"lower bound above the upper bound of {row!r}", "low", summary[row]["high"]) for row in BASELINES if row in summary]
    bars += [(bar.label, bar.figure, bar.value) for bar in published]
    return [{"bar": bar, "needed": needed, "measured": dream[name], "met": dream[name] > needed} for bar, name, needed in bars]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
