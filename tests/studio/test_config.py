from __future__ import annotations

from typing import Any

import pytest

from worldsim.errors import ConfigError
from worldsim.studio.config import GenerateConfig, RecordConfig

WRONG: list[tuple[str, Any]] = [
    *(("frames", 0), ("frames", 1.5), ("seed", -1), ("seed", 2**63), ("num_steps", 0), ("num_steps", 1001)),
    *(("scale", 0), ("scale", 65)),
]


@pytest.mark.parametrize("config", [RecordConfig, GenerateConfig])
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_number_is_named(config: Any, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} was {value}; give a whole number "):
        config("doom/take-cover", **{name: value})


def test_frames_that_are_denoised_together_are_few() -> None:
    with pytest.raises(ConfigError, match="frames was 1001; give a whole number from 1 to 1,000"):
        GenerateConfig("doom/take-cover", frames=1001)
    assert RecordConfig("doom/take-cover", frames=1001).frames == 1001
