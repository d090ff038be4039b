from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worldsim.transfer.card import format_card, write_card

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize("name", ["transfer-take-cover", "transfer-take-cover-few", "transfer-take-cover-window-12"])
def test_published_figures_give_published_cards(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = json.loads((RESULTS / f"{name}.json").read_text())
    published = RESULTS.parent / f"{name}.md"
    write_card(tmp_path / published.name, figures)
    assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")
    if published.exists():
        assert (tmp_path / published.name).read_text() == published.read_text()


def test_impossible_scores_and_gaps_that_were_not_measured_are_said(figures: dict[str, Any]) -> None:
    (run,) = figures["rows"]["dream"]
    exploited = [{"run": run["run"], "largest": 55.0, "count": 2}]
    card = format_card({**figures, "impossible": exploited, "not_replayed": "episode 3 shows another frame."})
    assert "**Dream scores above the largest possible one (40.0).**" in card and "2 scores, up to 55.0" in card
    assert "**Where no gap is given, it was not measured**: episode 3 shows another frame." in card
