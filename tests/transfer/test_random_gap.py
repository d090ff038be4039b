"""examples/random_gap.py, in short."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "random_gap.py"


def test_random_play_is_compared_from_the_same_moments(
    dodge: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(EXAMPLE))
    options = {"moments": 5, "episodes": 3, "hold": 2, "batch": 4, "temperatures": (1.0,), "device": "cpu"}
    path = tmp_path / "gap.json"
    found = example["main"](example["Args"](world=str(dodge["worlds"][0]), data=dodge["data"], json=path, **options))
    scores = found["scores"]
    assert [len(part) for part in scores.values()] == [3, 5, 5, 5]
    dreamed, real = np.array(scores["dreams, temperature 1"]), np.array(scores["game, same moments"])
    assert found["figures"]["gap, temperature 1"]["mean"] == pytest.approx((dreamed - real).mean())
    assert json.loads(path.read_text())["scores"] == scores and "gap, temperature 1" in capsys.readouterr().out
