from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worldsim.data import CollectConfig, MergeConfig
from worldsim.errors import WorldsimError


@pytest.mark.parametrize(
    ("name", "value"),
    [("frames", -1), ("frames", 2.5), ("eval_frames", -1), ("processes", 0), ("processes", 5000), ("seed", -1), ("seed", 2**63)],
)
def test_a_wrong_number_of_a_recording_is_named(name: str, value: Any) -> None:
    with pytest.raises(WorldsimError, match=rf"^{name} was {value}; give a whole number from [01] to "):
        CollectConfig("toy/dodge", **{name: value})


def test_a_wrong_merge_is_explained() -> None:
    with pytest.raises(WorldsimError, match="sources was empty"):
        MergeConfig((), Path("out"))
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(WorldsimError, match=f"^eval_share was {share}; give a share above 0 and below 1"):
            MergeConfig((Path("a"),), Path("out"), share)
