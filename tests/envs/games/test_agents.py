"""Agents of Stable-Baselines3 that play for recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.envs.games.agents import Agent
from worldsim.envs.games.any import Adapted, Picture
from worldsim.envs.games.infer.controls import wire
from worldsim.envs.games.policies import make_policy
from worldsim.errors import GameError

sb3 = pytest.importorskip("stable_baselines3")


def game(name: str) -> Adapted:
    env = gymnasium.make(name, render_mode="rgb_array")
    wiring = wire(env)
    return Adapted(env, Picture(32, 32, source="render"), wiring.spec, wiring.actions, fps=10.0)


@pytest.mark.parametrize(("learner", "name"), [("PPO", "CartPole-v1"), ("PPO", "Pendulum-v1"), ("DQN", "MountainCar-v0")])
def test_an_agent_plays_the_game_that_its_environment_became(learner: str, name: str, tmp_path: Path) -> None:
    model: Any = getattr(sb3, learner)("MlpPolicy", name, seed=0, device="cpu")
    model.save(tmp_path / "agent.zip")
    env = game(name)
    agent = make_policy(str(tmp_path / "agent.zip"), env.control_spec)
    assert isinstance(agent, Agent)
    agent.attach(env)
    agent.reset(np.random.default_rng(0))
    _, info = env.reset(seed=0)
    for _ in range(5):
        vector = agent.act(info)
        assert vector.shape == (env.control_spec.size,)
        *_, info = env.step(vector)
    inner: Any = env.env
    action, _ = model.predict(np.asarray(env.observation), deterministic=True)
    again = env.actions(env.actions.held(action))
    np.testing.assert_allclose(again, np.clip(action, -2, 2) if name == "Pendulum-v1" else action, atol=1e-5)
    assert inner.action_space.contains(again) or name == "CartPole-v1"
    env.close()


def test_an_agent_of_something_else_is_refused(tmp_path: Path) -> None:
    sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "agent.zip")
    env = game("Pendulum-v1")
    agent = Agent(tmp_path / "agent.zip", env.control_spec)
    with pytest.raises(GameError, match="Give a model of that environment"):
        agent.attach(env)
    with pytest.raises(GameError, match="can only play a game that adapts an environment"):
        agent.attach(gymnasium.make("CartPole-v1"))
    (tmp_path / "other.zip").write_bytes(b"no archive")
    with pytest.raises(GameError, match="cannot be loaded as an agent"):
        Agent(tmp_path / "other.zip", env.control_spec)
    env.close()
