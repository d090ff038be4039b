from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from transfer.conftest import CARD
from worldsim.envs.games.dodge import DODGE
from worldsim.transfer.episodes import latent_size, open_twin
from worldsim.transfer.inputs import History
from worldsim.world import World

pytest.importorskip("stable_baselines3")

from worldsim.transfer.envs import real_envs
from worldsim.transfer.policies import load_policy, policy_actor, recorded_history, train_ppo


def test_untrained_policies_repeat_their_decisions(dodge: dict[str, Any], tmp_path: Path) -> None:
    world = World.load(dodge["worlds"][0], device="cpu")
    config = replace(CARD, checkpoints=1, ppo=replace(CARD.ppo, learning_rate=0.0, keep=0.9))
    games: Any = real_envs(partial(open_twin, world, config, DODGE), 2)
    train_ppo(games, world, 1, 0, config, tmp_path, dreamed=False)
    with closing(open_twin(world, config, DODGE)) as env:
        act = policy_actor(load_policy(tmp_path / "000.safetensors", env.view, world, config.ppo))
        torch.manual_seed(0)
        still = np.zeros((1000, latent_size(world)), np.float32)
        act(still, None)
        kept = act(still, np.full(1000, 2)) == 2
    assert 0.85 < kept.mean() < 0.95


def test_recorded_frames_get_the_history_of_a_policy() -> None:
    chosen, latents = np.array([1, 1, 1, 1, 1, 0, 0, 1])[:, None], np.arange(8.0, dtype=np.float32)[:, None]
    history = recorded_history(latents, chosen, hold=2)
    assert history.latents[:, 0].tolist() == [0, 1, 0, 1, 2, 3, 4, 5], "at first nothing has changed"
    assert history.actions[2:, 0].tolist() == [1, 1, 1, 1, 1, 0]
    assert history.repeats[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 1]
    by_hand = History.start(latents[1:2], spaces.Discrete(2))
    for frame in (1, 3, 5):
        by_hand = by_hand.decided(latents[frame : frame + 1], chosen[frame : frame + 1])
    last = history.rows(np.array([7]))
    assert all(np.array_equal(a, b) for a, b in zip(vars(by_hand).values(), vars(last).values(), strict=True))
