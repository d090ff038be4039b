"""The whole transfer card on a small game."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.errors import FileError, WorldError
from worldsim.files import lock
from worldsim.transfer.config import DREAM, EQUAL, LONG, RANDOM, REFIT, ROWS, SHUFFLED, UNTRAINED
from worldsim.world import read_config
from worldsim.world.folder import write_config

pytest.importorskip("stable_baselines3")
pytest.importorskip("matplotlib")

from worldsim.transfer.report import check_outputs, transfer


def test_every_row_is_played(figures: dict[str, Any]) -> None:
    assert tuple(figures["rows"]) == tuple(figures["summary"]) == tuple(row for row in ROWS if row != REFIT)
    for row in figures["summary"].values():
        assert row["episodes"] == 20 and 4 <= row["low"] <= row["mean"] <= row["high"] <= 40
    dream, equal = figures["summary"][DREAM], figures["summary"][EQUAL]
    assert equal["real_frames"] >= 1_700 and dream["real_frames"] == 0
    assert len(figures["randomness"]) == 2 and figures["correlation"]["checkpoints"] >= 5
    for mode in ("teacher-forced", "free-running"):
        assert {"end_recall", "end_precision"} <= set(figures["heads"][0][mode])


def test_gaps_compare_dreams_and_game_from_the_same_moments(figures: dict[str, Any]) -> None:
    assert figures["not_replayed"] is None
    dreaming = {row for row, found in figures["summary"].items() if found["dream"] is not None}
    assert dreaming == {RANDOM, SHUFFLED, DREAM}
    for row in dreaming:
        (run,), found = figures["rows"][row], figures["summary"][row]
        assert len(run["dream_scores"]) == len(run["matched_scores"]) == 40
        assert found["gap"] == pytest.approx(np.mean(run["dream_scores"]) - np.mean(run["matched_scores"]))
        assert found["gap_interval"][0] <= found["gap"] <= found["gap_interval"][1]
        assert found["gap_from_start"] == pytest.approx(np.mean(run["dream_scores"]) - np.mean(run["scores"]))


def test_the_untrained_policy_counts_once(figures: dict[str, Any]) -> None:
    assert figures["summary"][UNTRAINED]["runs"] == len(figures["rows"][UNTRAINED]) == 1


def test_what_is_learned_in_the_dream_works_in_the_real_game(figures: dict[str, Any]) -> None:
    summary = figures["summary"]
    assert summary[DREAM]["mean"] > 1.3 * max(summary[RANDOM]["mean"], summary[SHUFFLED]["mean"])


def test_the_checkpoint_is_chosen_by_dream_score_alone(figures: dict[str, Any]) -> None:
    (run,) = figures["rows"][DREAM]
    assert run["checkpoints"][run["chosen"]]["training"] == max(c["training"] or 0 for c in run["checkpoints"])


def test_the_card_holds_what_was_measured(figures: dict[str, Any], dodge: dict[str, Any]) -> None:
    card = dodge["card"].read_text()
    for row in figures["summary"]:
        assert f"| {row} | {figures['summary'][row]['mean']:.1f} |" in card
    assert figures["data"]["hash"] in card and figures["worlds"][0] in card and "seeds 900000 to 900019" in card
    assert "game, same moments" in card and "was not measured" not in card
    plot = dodge["card"].with_suffix(".svg").read_text()
    assert "(transfer-dodge.svg)" in card and all(f">{row}<" in plot for row in figures["summary"])
    assert json.loads(dodge["json"].read_text())["summary"][DREAM]["mean"] == figures["summary"][DREAM]["mean"]


def test_bars_and_limits_are_those_of_the_game(figures: dict[str, Any]) -> None:
    assert figures["data"]["game"] == "toy/dodge" and figures["config"]["cap_tics"] == 40
    assert figures["config"]["best_reward"] == 1.0 and len(figures["bars"]) == 5
    *baselines, solved = figures["bars"]
    assert all("upper bound" in bar["bar"] for bar in baselines)
    assert (solved["bar"], solved["needed"]) == ("lower bound above what counts as solved", 180.0), "as its spec says"


def test_an_interrupted_run_goes_on(figures: dict[str, Any], dodge: dict[str, Any]) -> None:
    runs = dodge["out"] / "runs"
    files = [*runs.iterdir(), *(dodge["out"] / "policies").rglob("*.safetensors")]
    kept = {path: path.stat().st_mtime_ns for path in files}
    (lost,) = runs.glob("random-*.json")
    lost.unlink()
    again = transfer(**dodge)
    assert again["summary"] == figures["summary"]
    assert {path for path, time in kept.items() if path.stat().st_mtime_ns != time} == {lost}


def test_damaged_runs_and_policies_are_made_again(
    figures: dict[str, Any], dodge: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(dodge["out"], tmp_path / "out"))
    (constant,) = out.glob("runs/best-constant-action-*.json")
    constant.write_text(constant.read_text()[:50])
    (long,) = out.glob("runs/ppo-long-*.json")
    long.unlink()
    (policies,) = out.glob("policies/ppo-long-*")
    weights = policies / "003.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    again = transfer(**{**dodge, "out": out, "card": None, "json": None})
    assert again["summary"] == figures["summary"]
    message = capsys.readouterr().err
    assert constant.name in message and f"{policies} are damaged" in message and LONG in again["rows"]


def test_a_second_transfer_in_the_same_folder_is_refused(dodge: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with lock(out, "training policies in"), pytest.raises(FileError, match=r"another process is training policies in .*out"):
        transfer(**{**dodge, "out": out})
    assert not list(out.iterdir())


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("here already")
    wrong: dict[str, Any]
    for wrong in ({"out": file}, {"card": file / "card.md"}, {"card": tmp_path / "card.txt"}, {"json": tmp_path}):
        with pytest.raises(FileError, match=re.escape(str(*wrong.values()))):
            outputs: dict[str, Any] = {"out": tmp_path / "out", "card": None, "json": None, **wrong}
            check_outputs(**outputs)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and file.read_text() == "here already"


def test_other_worlds_are_refused(dodge: dict[str, Any], tiny_world_path: Path, tmp_path: Path) -> None:
    own = {**dodge, "out": tmp_path / "out"}
    with pytest.raises(WorldError, match="no worlds given"):
        transfer(**{**own, "worlds": []})
    with pytest.raises(ValueError, match="does not fit the world test/tiny"):
        transfer(**{**own, "worlds": [tiny_world_path]})
    other = shutil.copytree(dodge["worlds"][0], tmp_path / "other")
    write_config(other, replace(read_config(other), data="0123"))
    with pytest.raises(WorldError, match="of different recordings"):
        transfer(**{**own, "worlds": [*dodge["worlds"], other]})


def test_configs_are_made_without_the_learner() -> None:
    """`worldsim transfer --help` is quick."""
    code = "import sys, worldsim.transfer.config; assert not {'stable_baselines3', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
