"""What agents may choose about a world, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worldsim.envs.games import find_game
from worldsim.envs.options import WorldOptions, check_reset_options, check_seed, horizon_steps
from worldsim.errors import EnvError
from worldsim.world import World


@pytest.mark.parametrize(
    "option",
    [
        {"runtime": "openvine"},
        {"dtype": "float16"},
        {"num_steps": 0},
        {"temperature": -0.1},
        {"temperature": float("inf")},
        {"context_level": 1.0},
    ],
    ids=str,
)
def test_options_out_of_range(option: dict[str, Any]) -> None:
    with pytest.raises(EnvError, match=f"{next(iter(option))} was"):
        WorldOptions(**option)


def test_a_loaded_world_is_taken_as_it_is(tiny_world: World) -> None:
    assert WorldOptions().open(tiny_world, 1) is tiny_world
    with pytest.raises(EnvError, match="the world has a batch of 1, and 2 are needed; load it with batch=2"):
        WorldOptions().open(tiny_world, 2)
    with pytest.raises(EnvError, match=r"num_steps, temperature given with a loaded world; give them to World.load"):
        WorldOptions(num_steps=2, temperature=0.5).open(tiny_world, 1)


def test_horizons() -> None:
    game = replace(find_game("toy/dodge"), max_tics=100)
    assert horizon_steps("game", game, 4) == 25
    assert horizon_steps("game", None, 4) is None and horizon_steps(None, game, 4) is None
    assert horizon_steps(7, game, 4) == 7
    for horizon in (0, "none", 1.5):
        with pytest.raises(EnvError, match="horizon was"):
            horizon_steps(horizon, game, 4)  # type: ignore[arg-type]


def test_seeds() -> None:
    assert check_seed(None) is None
    assert type(check_seed(np.int32(3))) is int and check_seed(2**64 - 1) == 2**64 - 1
    for seed in (-1, 2**64, "1", 0.5):
        with pytest.raises(EnvError, match="seed was"):
            check_seed(seed)


def test_options_of_a_reset() -> None:
    assert check_reset_options(None, ["start"]) == {} and check_reset_options({"start": 1}, ["start"]) == {"start": 1}
    with pytest.raises(EnvError, match=r"reset\(\) has no option 'strat'; it has: start. Did you mean 'start'\?"):
        check_reset_options({"strat": 1}, ["start"])
