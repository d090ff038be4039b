"""From runs to figures: means with bootstrap intervals, gaps, rank correlations, alarms and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.games import Bar
from worldsim.transfer.config import TransferConfig

RANDOM, CONSTANT, UNTRAINED, CLONE, EQUAL, LONG, SHUFFLED, DREAM, REFIT = ROWS = (
    "random",
    "best constant action",
    "untrained policy",
    "behaviour cloning",
    "PPO, equal real frames",
    "PPO, long in the real game",
    "dream of shuffled actions",
    "dream",
    "dream, refitted",
)
BASELINES = (RANDOM, UNTRAINED, EQUAL, SHUFFLED)
Runs = Sequence[Mapping[str, Any]]


def summarise(
    rows: Mapping[str, Runs], levels: Mapping[str, Runs], config: TransferConfig, bars: Sequence[Bar] = ()
) -> dict[str, Any]:
    """`summary` of every row, `randomness` of every level, `correlation` over checkpoints, `alarms` and `bars`."""
    summary = {name: _summary(runs, config) for name, runs in rows.items() if runs}
    return {
        "summary": summary,
        "randomness": {level: _summary(runs, config) for level, runs in levels.items() if runs},
        "correlation": _correlation(rows[DREAM]),
        "alarms": alarms([run for runs in (*rows.values(), *levels.values()) for run in runs], config),
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
    """Spearman's, ties at their mean rank; NaN where either is constant."""
    first, second = (_ranks(np.asarray(values, np.float64)) for values in (x, y))
    if min(first.std(), second.std()) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def alarms(runs: Runs, config: TransferConfig) -> list[dict[str, Any]]:
    """Runs whose dream score exceeds what is possible: there the policy has learned a flaw of the world, not the game."""
    limit = config.largest_score * (1 + config.tolerance)
    found = {}
    for run in runs:
        above = [score for score in run.get("dream_scores", ()) if score > limit]
        if above:
            found[run["name"]] = {"run": run["name"], "largest": max(above), "count": len(above), "limit": limit}
    return list(found.values())


def _summary(runs: Runs, config: TransferConfig) -> dict[str, Any]:
    scores = [run["scores"] for run in runs]
    low, high = bootstrap(scores, config.resamples)
    mean = float(np.mean([np.mean(run) for run in scores]))
    dreamed = [run["dream_scores"] for run in runs if "dream_scores" in run]
    dream = float(np.mean([np.mean(run) for run in dreamed])) if dreamed else None
    every = np.concatenate(scores)
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
        "dream_interval": bootstrap(dreamed, config.resamples) if dreamed else None,
        "gap": None if dream is None else dream - mean,
    }


def _correlation(runs: Runs) -> dict[str, Any]:
    """Between dream and real score, over the checkpoints of each run and over all of them."""
    points = [
        {"run": run["name"], "world": run["name"].split("-")[1], "steps": c["steps"], "dream": c["training"], "real": c["real"]}
        for run in runs
        for c in run["checkpoints"]
        if c["training"] is not None
    ]
    by_run = {}
    for run in runs:
        pairs = [(p["dream"], p["real"]) for p in points if p["run"] == run["name"]]
        by_run[run["name"]] = rank_correlation(*zip(*pairs, strict=True))
    pooled = rank_correlation([p["dream"] for p in points], [p["real"] for p in points]) if points else float("nan")
    return {"checkpoints": len(points), "pooled": pooled, "by_run": by_run, "points": points}


def baseline_bar(row: str) -> str:
    """Label of the bar that a baseline sets."""
    return f"lower bound above the upper bound of {row!r}"


def published_bars(figures: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of the figures' bars that the game sets, not a baseline."""
    return [bar for bar in figures["bars"] if bar["bar"] not in map(baseline_bar, BASELINES)]


def _bars(summary: Mapping[str, Any], published: Sequence[Bar]) -> list[dict[str, Any]]:
    """What the dream row has to exceed."""
    dream = summary[DREAM]
    bars = [(baseline_bar(row), "low", summary[row]["high"]) for row in BASELINES if row in summary]
    bars += [(bar.label, bar.figure, bar.value) for bar in published]
    return [{"bar": bar, "needed": needed, "measured": dream[name], "met": dream[name] > needed} for bar, name, needed in bars]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
