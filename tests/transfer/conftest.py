"""A small game, worlds trained on it, and its transfer card: collect, train, learn in dreams, play the real game."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from steady import counted_budgets

from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import make_policy
from worldsim.envs.games.dodge import DODGE, DodgeEnv
from worldsim.presets import find_preset
from worldsim.transfer.config import PPOConfig, Randomness, TransferConfig
from worldsim.transfer.worlds import train_shuffled, train_worlds

WORLD = find_preset(DODGE.name)
CARD = TransferConfig(
    policy_seeds=(0,),
    levels=(Randomness(1.0), Randomness(1.5, context_level=0.1)),
    dream_steps=9_000,
    long_steps=500,
    clone_frames=300,
    clone_epochs=1,
    checkpoints=6,
    dreams=32,
    dream_frames=20,
    starts=64,
    games=2,
    hold=2,
    dream_episodes=40,
    checkpoint_episodes=3,
    choice_episodes=3,
    episodes=20,
    cap_tics=40,
    head_clips=16,
    resamples=500,
    ppo=PPOConfig(rollout=16, batch=128, learning_rate=1e-3, gamma=0.95, keep=0.5),
)


@pytest.fixture(scope="session")
def dodge(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of `transfer` on the dodge game."""
    pytest.importorskip("stable_baselines3")
    folder = tmp_path_factory.mktemp("dodge")
    sources = [PolicySource("restless", partial(make_policy, "restless", DODGE.control_spec))]
    collect(DodgeEnv, sources, folder / "data", game=DODGE.name, frames=1_500, eval_frames=200, lossless=True, progress=False)
    data = folder / "data"
    with counted_budgets():
        worlds = train_worlds(WORLD, data, folder / "worlds", 20.0, [0], "cpu", False)
        shuffled = train_shuffled(WORLD, data, folder / "shuffled", 3.0, "cpu", False)
    paths = {"out": folder / "out", "card": folder / "docs" / "transfer-dodge.md", "json": folder / "transfer.json"}
    return {"worlds": worlds, "shuffled": shuffled, "data": data, **paths, "config": CARD, "device": "cpu"}


@pytest.fixture(scope="session")
def figures(dodge: dict[str, Any]) -> dict[str, Any]:
    """What `transfer` measured."""
    pytest.importorskip("matplotlib")
    from worldsim.transfer.report import transfer

    return transfer(**dodge)
