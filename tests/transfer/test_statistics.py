from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from worldsim.envs.games import Bar
from worldsim.transfer.config import DREAM, EQUAL, RANDOM, Run, TransferConfig
from worldsim.transfer.statistics import bootstrap, impossible, rank_correlation, summarise

CONFIG = TransferConfig(cap_tics=40, best_reward=1.0, resamples=500)


def run(row: str, scores: list[float], seed: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "run": asdict(Run(row, "0123" if "dream_scores" in more else "", seed=seed)),
        "scores": scores,
        "real_frames": 0,
        **more,
    }


def test_gaps_are_from_the_same_moments() -> None:
    checkpoints = [{"steps": 10, "training": 5.0, "real": 20.0}, {"steps": 20, "training": 6.0, "real": 25.0}]
    dream = run(DREAM, [30.0, 34.0], dream_scores=[12.0, 8.0], matched_scores=[6.0, 4.0], checkpoints=checkpoints)
    figures = summarise({RANDOM: [run(RANDOM, [10.0, 12.0])], DREAM: [dream]}, {"temperature 1": [dream]}, CONFIG)
    found = figures["summary"][DREAM]
    assert (found["dream"], found["matched"], found["gap"], found["gap_from_start"]) == (10, 5, 5, -22)
    assert 4 <= found["gap_interval"][0] <= found["gap_interval"][1] <= 6, "dreams and games of a moment are paired"
    assert figures["randomness"]["temperature 1"] == found
    assert figures["summary"][RANDOM]["gap"] is None and figures["summary"][RANDOM]["gap_from_start"] is None
    assert figures["correlation"]["pooled"] == pytest.approx(1) and figures["correlation"]["checkpoints"] == 2


def test_without_matched_scores_there_is_no_gap() -> None:
    dream = run(DREAM, [30.0, 34.0], dream_scores=[12.0, 8.0], checkpoints=[])
    found = summarise({DREAM: [dream]}, {}, CONFIG)["summary"][DREAM]
    assert found["gap"] is None and found["matched"] is None and found["gap_from_start"] == -22


def test_bars_are_other_rows_and_published_scores() -> None:
    rows = {EQUAL: [run(EQUAL, [20.0])], DREAM: [run(DREAM, [30.0], dream_scores=[1.0], checkpoints=[])]}
    figures = summarise(
        rows, {}, CONFIG, [Bar("mean above that of a paper", 31.0, "mean"), Bar("lower bound above solved", 29.0)]
    )
    assert [(bar["needed"], bar["measured"], bar["met"]) for bar in figures["bars"]] == [
        (20, 30, True),
        (31, 30, False),
        (29, 30, True),
    ]


def test_impossible_dream_scores_are_found_once() -> None:
    good = run(DREAM, [1.0], seed=1, dream_scores=[39.0, 40.2])
    exploited = run(DREAM, [1.0], seed=2, dream_scores=[39.0, 55.0, 47.0])
    (found,) = impossible([good, exploited, exploited, run(EQUAL, [50.0])], CONFIG)
    assert found == {"run": exploited["run"], "largest": 55.0, "count": 2}


def test_intervals_cover_runs_and_episodes() -> None:
    rng = np.random.default_rng(0)
    alike, apart = (rng.normal(means, 1, (100, 3)).T.tolist() for means in ((5, 5, 5), (4, 5, 6)))
    low, high = bootstrap(alike, 2_000)
    assert 4.8 < low < 5 < high < 5.2
    low, high = bootstrap(apart, 2_000)
    assert high - low > 1, "runs that disagree widen it"


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3]) == pytest.approx(1)
    assert math.isnan(rank_correlation([1, 2], [3, 3]))
