"""What making a world is going to take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worldsim.envs.games import GAMES
from worldsim.new.plan import LEAST, MOST, Speeds, format_plan, frames_for, held_out_for, time_everything, time_game
from worldsim.presets import Collection, toy_dodge


def test_the_plan_says_what_each_stage_makes_here() -> None:
    config = toy_dodge()
    plan = format_plan(Speeds(100.0, 10.0, 2.0), config, Collection(8000, 2000), 1000.0, 2, False)
    assert "10,000 frames, 2 games at a time" in plan and "50 s" in plan
    tokenizer, dynamics = 1000 * config.tokenizer_share, 1000 * (1 - config.tokenizer_share)
    assert f"{10 * tokenizer:,.0f} steps of {config.tokenizer.batch} frames" in plan
    assert f"{2 * dynamics:,.0f} steps of {config.dynamics.batch * config.dynamics.frames} frames" in plan
    assert "without torch.compile" in plan
    assert "which is on" in format_plan(Speeds(100.0, 10.0, 2.0), config, Collection(8000, 2000), 1000.0, 2, True)


@pytest.mark.parametrize(
    ("budget", "rate", "processes", "frames"),
    [(3600, 1000, 2, 90_000), (3600, 50, 1, 27_000), (60, 1000, 2, LEAST), (10**6, 10**4, 8, MOST)],
)
def test_as_much_is_recorded_as_the_budget_can_use(budget: float, rate: float, processes: int, frames: int) -> None:
    assert frames_for(budget, rate, processes) == frames


@pytest.mark.parametrize(("frames", "length", "held_out"), [(90_000, 800, 4_800), (90_000, 20, 1_500), (3_000, 800, 600)])
def test_some_episodes_are_held_out(frames: int, length: float, held_out: int) -> None:
    assert held_out_for(frames, length) == held_out


def test_everything_is_timed() -> None:
    game = GAMES["toy/dodge"]
    assert time_game(game) > 100
    speeds = time_everything(replace(game, max_tics=None), toy_dodge(), "cpu")
    assert min(speeds.record, speeds.tokenizer, speeds.dynamics) > 0
