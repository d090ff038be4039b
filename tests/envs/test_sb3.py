"""Stable-Baselines3 on the batched dreams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from worldsim.errors import EnvError

sb3 = pytest.importorskip("stable_baselines3")

from worldsim.envs.sb3 import SB3VecEnv  # noqa: E402 (needs Stable-Baselines3)


def make(path: Path, **options: Any) -> SB3VecEnv:
    kwargs: dict[str, Any] = {"actions": "flat", "autoreset_mode": "SameStep", "device": "cpu", "dtype": "float32", **options}
    return SB3VecEnv(gymnasium.make_vec("WorldSim/Dream-v0", num_envs=4, world=str(path), **kwargs))


def test_ends_are_told_as_stable_baselines_wants(short_world_path: Path) -> None:
    env = make(short_world_path, horizon=5, obs="latent")
    env.seed(3)
    first = env.reset()
    env.seed(3)
    assert np.array_equal(env.reset(), first) and env.reset_infos[0] == {"has_frame": True, "end_probability": 0.0}
    cut = 0
    for _ in range(12):
        obs, rewards, dones, infos = env.step(np.zeros((4, 3), int))
        assert isinstance(obs, np.ndarray)
        assert obs.shape == (4, 36) and rewards.shape == dones.shape == (4,)
        for row in range(4):
            assert ("terminal_observation" in infos[row]) == dones[row]
            if dones[row]:
                assert not np.array_equal(infos[row]["terminal_observation"], obs[row])
            cut += infos[row]["TimeLimit.truncated"]
    assert cut > 0


def test_rows_have_options_and_dicts_of_their_own(short_world_path: Path) -> None:
    options: dict[str, Any] = {"actions": "flat", "autoreset_mode": "SameStep", "device": "cpu", "dtype": "float32"}
    batch = gymnasium.make_vec("WorldSim/Dream-v0", num_envs=4, world=str(short_world_path), horizon=3, obs="latent", **options)
    env = SB3VecEnv(RecordEpisodeStatistics(batch))
    by_start = []
    for start in range(3):
        env.set_options({"start": start})
        by_start.append(np.asarray(env.reset())[0])
    env.set_options([{"start": 2}, {}, {"start": 0}, {"start": 1}])
    obs = np.asarray(env.reset())
    assert all(np.array_equal(obs[row], by_start[start]) for row, start in ((0, 2), (2, 0), (3, 1)))
    env.set_options([{"reset_mask": row} for row in range(4)])
    with pytest.raises(EnvError, match="option 'reset_mask' differs between the environments; only 'start' may"):
        env.reset()
    env.set_options()
    env.reset()
    over = 0
    for _ in range(6):
        _, _, dones, infos = env.step(np.zeros((4, 3), int))
        for row in range(4):
            assert ("episode" in infos[row]) == dones[row]
            if dones[row]:
                over += 1
                assert set(infos[row]["episode"]) == {"r", "l", "t"} and 1 <= infos[row]["episode"]["l"] <= 3
                assert type(infos[row]["episode"]["r"]) is float
    assert over >= 4


def test_ppo_learns_in_it(tiny_world_path: Path) -> None:
    model = sb3.PPO("MlpPolicy", make(tiny_world_path, obs="latent"), n_steps=8, batch_size=16, n_epochs=1, device="cpu")
    model.learn(64)
    assert model.num_timesteps == 64


def test_pictures_are_tiled(tiny_world_path: Path) -> None:
    env = make(tiny_world_path, render_mode="rgb_array")
    env.reset()
    picture = env.render()
    assert picture is not None and picture.shape == (64, 96, 3)
    assert env.get_attr("num_envs") == [4] * 4 and env.env_is_wrapped(gymnasium.Wrapper) == [False] * 4
    env.close()


@pytest.mark.parametrize("options", [{"actions": "native"}, {"autoreset_mode": "NextStep"}, {"output": "torch"}])
def test_other_environments_are_refused(tiny_world_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(EnvError, match=r"does not fit Stable-Baselines3; make it with"):
        make(tiny_world_path, **options)
