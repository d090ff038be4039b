"""Options of `worldsim new`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worldsim.errors import ConfigError
from worldsim.new.config import NewConfig, pairs


def test_defaults_follow_from_the_name() -> None:
    config = NewConfig("atari/pong")
    assert config.folder == Path("atari/pong") and config.seconds == 3600 and config.height_and_width() is None
    assert NewConfig("atari/pong", size="80x96", out=Path("x")).height_and_width() == (96, 80)
    assert NewConfig("atari/pong", out=Path("x")).folder == Path("x")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"size": "80"}, "size"),
        ({"size": "80x"}, "size"),
        ({"crop": (1, 2, 3)}, "crop"),
        ({"fps": 0.0}, "fps"),
        ({"frame_skip": 0}, "frame_skip"),
        ({"frames": 0}, "frames"),
        ({"processes": 0}, "processes"),
        ({"seed": -1}, "seed"),
        ({"budget": "soon"}, "budget"),
        ({"rename": ("d",)}, "rename"),
        ({"meaning": ("=up",)}, "meaning"),
        ({"human": True, "policy": "random"}, "policy"),
    ],
)
def test_wrong_options_are_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        NewConfig("atari/pong", **fields)


def test_pairs_are_read() -> None:
    assert pairs("meaning", ("w=up", "mouse.dx=steer left = right")) == {"w": "up", "mouse.dx": "steer left = right"}
    with pytest.raises(ConfigError, match="each name once"):
        pairs("rename", ("a=b", "a=c"))
