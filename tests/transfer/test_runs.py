from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from transfer.conftest import CARD
from worldsim.envs.games.dodge import DODGE, DodgeEnv
from worldsim.transfer.config import CLONE, EQUAL, RANDOM, UNTRAINED

pytest.importorskip("stable_baselines3")

from worldsim.transfer.runs import Runs


def test_rows_of_the_real_game_need_no_more_of_a_world_than_its_tokenizer(
    figures: dict[str, Any], dodge: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(dodge["worlds"][0], other)
    state = load_file(other / "dynamics.safetensors")
    save_file({name: value + 1 for name, value in state.items()}, other / "dynamics.safetensors")
    runs = Runs([other], [], {}, dodge["data"], dodge["out"], CARD, "cpu", None)
    assert runs.hashes[other] != figures["worlds"][0]
    for name in ("_score", "_trained"):
        monkeypatch.setattr(runs, name, lambda *_: pytest.fail("made before"))
    frames = runs.train.total_frames + runs.held_out.total_frames
    assert [runs.untrained(other)] == figures["rows"][UNTRAINED] and [runs.clone(other, 0)] == figures["rows"][CLONE]
    assert [runs.real(EQUAL, other, frames, 0)] == figures["rows"][EQUAL]


class Other(DodgeEnv):
    """The same game in which every episode begins elsewhere than the seed says, as in another version of it."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=None if seed is None else seed + 1, options=options)


def test_where_the_game_cannot_be_replayed_dreams_are_scored_all_the_same(dodge: dict[str, Any], tmp_path: Path) -> None:
    game = replace(DODGE, make=Other)
    runs = Runs(dodge["worlds"], [], {}, dodge["data"], tmp_path, CARD, "cpu", game)
    assert runs.not_replayed is not None and "shows another frame" in runs.not_replayed
    run = runs.random(runs.folders[0])
    assert run["run"]["row"] == RANDOM and len(run["dream_scores"]) == 40 and "matched_scores" not in run
