from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.controls import Controls
from worldsim.envs.dream import DreamEnv
from worldsim.errors import ControlError


@pytest.fixture
def env(tiny_world_path: Path) -> DreamEnv:
    return DreamEnv(str(tiny_world_path), render_mode="rgb_array", device="cpu")


@pytest.mark.filterwarnings("ignore:.*(Box action space|maximum and minimum bounds are equal|normalized).*")
def test_gymnasium_accepts_it(env: DreamEnv) -> None:
    check_env(env, skip_render_check=True)


def test_equal_seeds_give_equal_episodes(env: DreamEnv) -> None:
    episodes = []
    for _ in range(2):
        frames = [env.reset(seed=7)[0]]
        frames += [env.step(Controls(keys=frozenset({"a"})))[0] for _ in range(5)]
        episodes.append(np.stack(frames))
    assert np.array_equal(episodes[0], episodes[1])
    assert not np.array_equal(env.reset()[0], env.reset()[0]), "without a seed every episode is another one"


def test_actions_come_in_three_forms(env: DreamEnv) -> None:
    controls = Controls(keys=frozenset({"d"}), mouse=(4.0, 0.0))
    vector = env.control_spec.to_vector(controls)
    frames = []
    for action in (controls, vector, env.control_spec.to_action(vector)):
        env.reset(seed=1)
        frames.append(env.step(action)[0])
    assert np.array_equal(frames[0], frames[1]) and np.array_equal(frames[0], frames[2])
    with pytest.raises(ControlError, match="last axis must be 5"):
        env.step(np.zeros(2))


def test_truncation_and_types(tiny_world_path: Path) -> None:
    env = DreamEnv(tiny_world_path, max_steps=3, device="cpu")
    env.reset(seed=0)
    cut = []
    for _ in range(3):
        frame, reward, terminated, truncated, info = env.step(env.control_spec.neutral())
        assert frame.dtype == np.uint8 and type(reward) is float and type(terminated) is bool and type(truncated) is bool
        assert 0 <= info["end_probability"] <= 1
        cut.append(truncated)
    assert cut == [False, False, True]
