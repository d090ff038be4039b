from __future__ import annotations

from typing import Any

import pytest

from worldsim.errors import ConfigError
from worldsim.studio import config as module
from worldsim.studio.config import MakeOptions, RecordConfig, parse_size

WRONG: list[tuple[str, Any]] = [("seed", -1), ("seed", 2**63), ("num_steps", 0), ("num_steps", 1001), ("scale", 0), ("scale", 65)]


@pytest.mark.parametrize(("name", "value"), [("frames", 0), ("frames", 1.5), *WRONG])
def test_a_wrong_number_of_a_recording_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} was {value}; give a whole number "):
        RecordConfig("doom/take-cover", **{name: value})


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_number_of_a_clip_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} was {value}; give a whole number "):
        MakeOptions(**{name: value})


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("GenerateConfig", {"frames": 0}, "frames was 0"),
        ("ImageConfig", {"size": "96"}, "size was '96'; give WIDTHxHEIGHT"),
        ("AnimateConfig", {"picture": "a.png", "frames": 1}, "frames was 1"),
        ("ExtendConfig", {"clip": "a.mp4", "before": -1}, "before was -1"),
        ("ConnectConfig", {"first": "a.mp4", "second": "b.mp4", "frames": 10_001}, "frames was 10001"),
        ("LoopConfig", {"clip": "a.mp4", "frames": 0}, "frames was 0"),
        ("EditConfig", {"clip": "a.mp4", "strength": 0}, "strength was 0"),
        ("EditConfig", {"clip": "a.mp4", "strength": 1.5}, "strength was 1.5"),
    ],
)
def test_a_wrong_task_is_named(task: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        getattr(module, task)(**given)


def test_sizes() -> None:
    assert parse_size("96x64") == (96, 64) and parse_size(None) is None
