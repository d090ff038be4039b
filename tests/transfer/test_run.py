"""The whole transfer card on a tiny game: collect, train worlds, learn in dreams, play for real, write the card."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from steady import counted_budgets

from worldsim.data import Dataset, PolicySource, collect
from worldsim.envs.games import make_policy
from worldsim.envs.games.dodge import DODGE, DodgeEnv
from worldsim.envs.twin import TwinEnv
from worldsim.errors import WorldError
from worldsim.presets import find_preset
from worldsim.transfer.config import PPOConfig, Randomness, TransferConfig
from worldsim.transfer.statistics import (
    CLONE,
    DREAM,
    EQUAL,
    RANDOM,
    REFIT,
    ROWS,
    SHUFFLED,
    UNTRAINED,
    alarms,
    bootstrap,
    rank_correlation,
)
from worldsim.transfer.worlds import refit_world, train_shuffled, train_worlds, with_seed
from worldsim.world import World, read_config
from worldsim.world.folder import write_config

pytest.importorskip("stable_baselines3")

from worldsim.transfer.envs import Seen, real_envs
from worldsim.transfer.memory import LOUD, SINCE
from worldsim.transfer.play import latent_size, open_twin, see
from worldsim.transfer.policies import actor, load_policy, train_ppo
from worldsim.transfer.run import _Runs, chosen_policies, transfer

WORLD = find_preset("toy/dodge")
CARD = TransferConfig(
    policy_seeds=(0,),
    levels=(Randomness(1.0), Randomness(0.5), Randomness(1.5, context_level=0.1)),
    dream_steps=12_000,
    long_steps=1_000,
    clone_frames=300,
    clone_epochs=1,
    dreams=32,
    dream_frames=20,
    starts=64,
    games=2,
    hold=2,
    dream_episodes=32,
    checkpoint_episodes=3,
    choice_episodes=3,
    episodes=20,
    cap_tics=40,
    head_clips=16,
    resamples=500,
    ppo=PPOConfig(rollout=16, batch=128, learning_rate=1e-3, gamma=0.95, keep=0.5),
)


@pytest.fixture(scope="module")
def dodge(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of `transfer` on the dodge game."""
    folder = tmp_path_factory.mktemp("dodge")
    sources = [PolicySource("restless", partial(make_policy, "restless", DODGE.control_spec))]
    collect(DodgeEnv, sources, folder / "data", game=DODGE.name, frames=1_500, eval_frames=200, lossless=True, progress=False)
    data = folder / "data"
    with counted_budgets():
        worlds = train_worlds(WORLD, data, folder / "worlds", 20.0, [0], "cpu", False)
        shuffled = train_shuffled(WORLD, data, folder / "shuffled", 3.0, "cpu", False)
    paths = {"out": folder / "out", "card": folder / "docs" / "transfer-dodge.md", "json": folder / "transfer.json"}
    return {"worlds": worlds, "shuffled": shuffled, "data": data, **paths, "config": CARD, "device": "cpu"}


@pytest.fixture(scope="module")
def figures(dodge: dict[str, Any]) -> dict[str, Any]:
    return transfer(**dodge)


def test_every_row_is_played(figures: dict[str, Any]) -> None:
    assert tuple(figures["rows"]) == tuple(figures["summary"]) == tuple(row for row in ROWS if row != REFIT)
    for row in figures["summary"].values():
        assert row["episodes"] == 20 and 4 <= row["low"] <= row["mean"] <= row["high"] <= 40
    dream, equal = figures["summary"][DREAM], figures["summary"][EQUAL]
    assert equal["real_frames"] >= 1_700 and dream["real_frames"] == 0
    assert dream["gap"] == pytest.approx(dream["dream"] - dream["mean"])
    assert len(figures["randomness"]) == 3 and figures["correlation"]["checkpoints"] >= 5
    for mode in ("teacher-forced", "free-running"):
        assert {"end_recall", "end_precision"} <= set(figures["heads"][0][mode])


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
    assert "(transfer-dodge.svg)" in card and dodge["card"].with_suffix(".svg").read_text().count("<circle") > 15
    assert json.loads(dodge["json"].read_text())["summary"][DREAM]["mean"] == figures["summary"][DREAM]["mean"]


def test_an_interrupted_run_goes_on(figures: dict[str, Any], dodge: dict[str, Any]) -> None:
    runs = dodge["out"] / "runs"
    kept = {path: path.stat().st_mtime_ns for path in [*runs.iterdir(), *(dodge["out"] / "policies").rglob("*.safetensors")]}
    (runs / "random.json").unlink()
    again = transfer(**dodge)
    assert again["summary"] == figures["summary"]
    changed = {path.name for path, time in kept.items() if path.stat().st_mtime_ns != time}
    assert changed == {"random.json"}


def test_rows_of_the_real_game_need_no_more_of_a_world_than_its_tokenizer(
    figures: dict[str, Any], dodge: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(dodge["worlds"][0], other)
    state = load_file(other / "dynamics.safetensors")
    save_file({name: value + 1 for name, value in state.items()}, other / "dynamics.safetensors")
    runs = _Runs([other], [], {}, dodge["data"], dodge["out"], CARD, "cpu", None)
    assert runs.hashes[other] != figures["worlds"][0]
    for name in ("_score", "_trained"):
        monkeypatch.setattr(runs, name, lambda *_: pytest.fail("made before"))
    frames = runs.train.total_frames + runs.held_out.total_frames
    assert [runs._untrained(other, 0)] == figures["rows"][UNTRAINED] and [runs._clone(other, 0)] == figures["rows"][CLONE]
    assert [runs._real(other, "equal", frames, 0)] == figures["rows"][EQUAL]


def test_worlds_are_refitted_on_what_policies_meet(figures: dict[str, Any], dodge: dict[str, Any], tmp_path: Path) -> None:
    policies = chosen_policies(figures, dodge["out"])
    options = (dodge["data"], tmp_path / "refit", 100, 2.0, "cpu", False, CARD)
    with counted_budgets():
        world, data = refit_world(WORLD, dodge["worlds"][0], policies, *options)
    before, larger = Dataset(dodge["data"]), Dataset(data)
    assert 100 <= larger.total_frames - before.total_frames < 140, "the last episode is kept whole"
    assert len(Dataset(data, "eval")) == len(Dataset(dodge["data"], "eval"))
    added = [episode for episode in larger.episodes if episode.policy == "dreamt"]
    assert len(larger) == len(before) + len(added) and max(episode.length for episode in added) <= 40
    again = transfer(**{**dodge, "refitted": [(world, data)], "card": tmp_path / "card.md", "json": None})
    assert again["summary"][REFIT]["real_frames"] == larger.total_frames - before.total_frames
    assert again["summary"][DREAM] == figures["summary"][DREAM]
    assert "trained further on the same recordings" in (tmp_path / "card.md").read_text()


def test_shuffled_controls_are_those_of_other_moments(dodge: dict[str, Any]) -> None:
    true, shuffled = Dataset(dodge["data"]), Dataset(dodge["data"].with_name("shuffled") / "data")
    assert np.array_equal(true.lengths, shuffled.lengths) and np.array_equal(true.rows.rewards, shuffled.rows.rewards)
    assert np.array_equal(true.frames(3), shuffled.frames(3))
    assert np.array_equal(true.rows.actions.sum(0), shuffled.rows.actions.sum(0))
    agree = (true.rows.actions == shuffled.rows.actions).all(1).mean()
    assert agree < 0.5, "no more than chance"


def test_real_games_are_seen_as_dreams_are(dodge: dict[str, Any]) -> None:
    world = World.load(dodge["worlds"][0], device="cpu", dtype=torch.float32)
    look, size = see(world), latent_size(world)
    games: Any = Seen(real_envs(partial(open_twin, world, CARD, DODGE), 2), size, look)
    twin = TwinEnv(world=world, obs="latent", actions="flat", horizon=CARD.cap_tics)
    games.seed(3)
    assert np.allclose(games.reset()[1, :size], twin.reset(seed=4)[0], atol=1e-4)
    over, decisions = False, 0
    while not over:  # who rests is hit by the first brick
        obs, _, dones, infos = games.step(np.zeros(2, int))
        decisions += 1
        single, _, over, *_ = twin.step(0)
        shown = infos[1]["terminal_observation"] if over else obs[1]
        assert over == dones[1] and np.allclose(shown[:size], single, atol=1e-4)
        told = shown[2 * size :].reshape(3, -1)
        assert told.sum() == told[0, np.searchsorted(SINCE, decisions)] == LOUD
    assert not obs[1, size:].any(), "another episode begins, and nothing was done in it"


def test_untrained_policies_keep_doing_what_they_did(dodge: dict[str, Any], tmp_path: Path) -> None:
    world = World.load(dodge["worlds"][0], device="cpu")
    config = replace(CARD, checkpoints=1, ppo=replace(CARD.ppo, learning_rate=0.0, keep=0.9))
    games: Any = real_envs(partial(open_twin, world, config, DODGE), 2)
    train_ppo(games, world, 1, 0, config, tmp_path, dreamed=False)
    with closing(open_twin(world, config, DODGE)) as env:
        act = actor(load_policy(tmp_path / "000.safetensors", env.view, world, config.ppo))
        torch.manual_seed(0)
        still = np.zeros((1000, latent_size(world)), np.float32)
        act(still, None)
        kept = act(still, np.full(1000, 2)) == 2
    assert 0.85 < kept.mean() < 0.95


def test_other_worlds_are_refused(dodge: dict[str, Any], tiny_world_path: Path, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no worlds given"):
        transfer(**{**dodge, "worlds": []})
    with pytest.raises(ValueError, match="does not fit the world test/tiny"):
        transfer(**{**dodge, "worlds": [tiny_world_path]})
    other = shutil.copytree(dodge["worlds"][0], tmp_path / "other")
    write_config(other, replace(read_config(other), data="0123"))
    with pytest.raises(WorldError, match="of different recordings"):
        transfer(**{**dodge, "worlds": [*dodge["worlds"], other]})
    with pytest.raises(WorldError, match="at least 1 of everything"):
        replace(CARD, episodes=0)
    with pytest.raises(WorldError, match=r"keep=1.0.*keep and gamma between 0 and 1"):
        replace(CARD.ppo, keep=1.0)


def test_impossible_dream_scores_sound_the_alarm() -> None:
    runs: list[dict[str, Any]] = [
        {"name": "good", "dream_scores": [39.0, 40.2], "checkpoints": [{"training": 40.0}]},
        {"name": "exploited", "dream_scores": [39.0, 55.0, 47.0], "checkpoints": [{"training": 47.0}]},
        {"name": "real", "checkpoints": [{"training": 12.0}]},
    ]
    (alarm,) = alarms(runs, CARD.of_game(DODGE))
    assert alarm["run"] == "exploited" and alarm["count"] == 2 and alarm["largest"] == 55.0


def test_worlds_differ_by_their_seed_alone() -> None:
    other = with_seed(WORLD, 3)
    assert (other.tokenizer.loop.seed, other.dynamics.loop.seed) == (3, 3) and with_seed(other, 0) == WORLD


def test_intervals_cover_runs_and_episodes() -> None:
    rng = np.random.default_rng(0)
    alike, apart = (rng.normal(means, 1, (100, 3)).T.tolist() for means in ((5, 5, 5), (4, 5, 6)))
    low, high = bootstrap(alike, 2_000)
    assert 4.8 < low < 5 < high < 5.2
    low, high = bootstrap(apart, 2_000)
    assert high - low > 1, "runs that disagree widen it"


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3]) == pytest.approx(1)
    assert math.isnan(rank_correlation([1, 2], [3, 3]))
