from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from steady import counted_budgets

from transfer.conftest import CARD, WORLD
from worldsim.data import Dataset
from worldsim.transfer.config import DREAM, REFIT
from worldsim.transfer.worlds import refit_world

pytest.importorskip("stable_baselines3")

from worldsim.transfer.report import chosen_policies, transfer


def test_worlds_are_refitted_on_what_policies_meet(figures: dict[str, Any], dodge: dict[str, Any], tmp_path: Path) -> None:
    policies = chosen_policies(figures, dodge["out"])
    assert len(policies) == 1 and policies[0].is_file()
    options = (dodge["data"], tmp_path / "refit", 100, 2.0, "cpu", False, CARD)
    with counted_budgets():
        world, data = refit_world(WORLD, dodge["worlds"][0], policies, *options)
    before, larger = Dataset(dodge["data"]), Dataset(data)
    assert 100 <= larger.total_frames - before.total_frames < 140, "the last episode is kept whole"
    assert len(Dataset(data, "eval")) == len(Dataset(dodge["data"], "eval"))
    added = [episode for episode in larger.episodes if episode.policy == "dream-trained"]
    assert len(larger) == len(before) + len(added) and max(episode.length for episode in added) <= 40
    again = transfer(**{**dodge, "refitted": [(world, data)], "card": tmp_path / "card.md", "json": None})
    assert again["summary"][REFIT]["real_frames"] == larger.total_frames - before.total_frames
    assert again["summary"][DREAM] == figures["summary"][DREAM]
    assert "trained further on the same recordings" in (tmp_path / "card.md").read_text()
