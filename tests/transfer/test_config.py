from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from worldsim.envs.games import find_game
from worldsim.envs.games.dodge import DODGE
from worldsim.errors import WorldsimError
from worldsim.transfer.config import DREAM, EQUAL, PPOConfig, Randomness, Run, TransferConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("episodes", 0),
        ("episodes", 2.5),
        ("episodes", 100_001),
        ("head_clips", 1),
        ("equal_steps", -1),
        ("policy_seeds", ()),
        ("policy_seeds", (1, 1)),
        ("policy_seeds", (-1,)),
        ("policy_seeds", (2**32,)),
        ("levels", ()),
        ("levels", (Randomness(1.0), Randomness(1.0))),
        ("tolerance", math.nan),
        ("best_reward", math.inf),
        ("cap_tics", 0),
    ],
)
def test_budgets_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(WorldsimError, match=f"^{name} was .*; give "):
        replace(TransferConfig(), **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("keep", 1.0), ("gamma", math.nan), ("learning_rate", math.nan), ("entropy", -1), ("rollout", 0)]
)
def test_learners_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(WorldsimError, match=f"^{name} was .*; give "):
        replace(PPOConfig(), **{name: value})


@pytest.mark.parametrize("wrong", [{"temperature": math.nan}, {"temperature": -1.0}, {"context_level": 1.0}])
def test_randomness_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(WorldsimError, match=f"^{next(iter(wrong))} was"):
        Randomness(**wrong)


def test_limits_come_from_the_game() -> None:
    assert TransferConfig().of_game(DODGE).cap == DODGE.max_tics == 200
    doom = TransferConfig().of_game(find_game("doom/take-cover-strip"))
    assert (doom.cap, doom.largest_score) == (2_100, 2_100.0)
    assert replace(TransferConfig(), cap_tics=40, best_reward=2.0).of_game(DODGE).largest_score == 80
    with pytest.raises(WorldsimError, match="never truncates an episode; give cap_tics"):
        TransferConfig().of_game(replace(DODGE, max_tics=None))
    assert TransferConfig().of_game(replace(DODGE, best_reward=None)).largest_score == math.inf


def test_runs_have_names_of_their_own_for_files() -> None:
    levels = [str(Randomness(1.3)), str(Randomness(1.3, 0.1))]
    runs = [Run(EQUAL, seed=0), Run(EQUAL, seed=1), *(Run(DREAM, "0123", level, 1) for level in levels)]
    assert Run(DREAM, "0123", levels[1], 1).slug == "dream-0123-temperature-1.3-context-0.1-1"
    assert len({run.slug for run in runs}) == len(runs)
