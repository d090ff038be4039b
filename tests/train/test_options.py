from __future__ import annotations

import pytest

from worldsim.errors import WorldsimError
from worldsim.train.options import TrainOptions, parse_duration


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("budget", text) == TrainOptions("doom/x", budget=text).seconds == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-1h", "2d", "1h30m", "nan", "infs", "\u0662h"])
def test_a_wrong_duration_is_explained(text: str) -> None:
    with pytest.raises(WorldsimError, match=r"^budget was .* such as 90s, 10m or 2h"):
        TrainOptions("doom/x", budget=text)
