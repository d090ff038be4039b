from __future__ import annotations

import math
from pathlib import Path

import pytest

from worldsim.errors import WorldsimError
from worldsim.player import PlayConfig


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("speed", math.nan),
        ("speed", 0.0),
        ("speed", math.inf),
        ("zoom", 0),
        ("zoom", 100_000),
        ("seed", -1),
        ("seed", 2**64),
        ("num_steps", 0),
        ("sensitivity", math.nan),
        ("sensitivity", -1.0),
        ("eval_share", 1.0),
        ("eval_share", math.nan),
        ("episode", -1),
        ("frames", -1),
    ],
)
def test_what_is_out_of_range_is_named(option: str, value: float) -> None:
    with pytest.raises(WorldsimError, match=rf"^{option} was {value}; give a number (from|of at least) "):
        PlayConfig(**{option: value})  # type: ignore[arg-type]


def test_a_world_or_a_recording_not_both() -> None:
    with pytest.raises(WorldsimError, match="give only one of them"):
        PlayConfig("doom/take-cover", replay=Path("data"))


def test_the_limits_themselves_are_allowed() -> None:
    PlayConfig(speed=0.01, zoom=64, seed=0, num_steps=1, eval_share=0.9, frames=0)
