"""Actions that are held, scores estimated from the chance of an end, and rewards reduced by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import VecEnv

from transfer.test_inputs import decisions
from worldsim.transfer.envs import ExpectedEnds, HeldActions, PolicyInputs, ScoreEstimate


class Counting(VecEnv):
    """Two rows that show and count their frames; row i ends after `lengths[i]`, which every frame had a chance of 0.1 to do."""

    def __init__(self, lengths: tuple[int, ...] = (3, 100), truncates: bool = False) -> None:
        super().__init__(len(lengths), spaces.Box(-np.inf, np.inf, (1,), np.float32), spaces.Discrete(5))
        self.lengths, self.truncates = np.array(lengths), truncates
        self.seen: list[list[int]] = []

    def reset(self) -> NDArray[np.float32]:
        self.age = np.zeros(self.num_envs, np.int64)
        return self.age[:, None].astype(np.float32)

    def step_async(self, actions: NDArray[Any]) -> None:
        self.seen.append(actions.tolist())

    def step_wait(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        self.age += 1
        done, rewards = self.age >= self.lengths, self.age.astype(np.float32)
        infos = [
            {
                "age": age,
                "end_probability": 0.1,
                "TimeLimit.truncated": bool(over and self.truncates),
                "terminal_observation": [age],
            }
            for age, over in zip(self.age.tolist(), done, strict=True)
        ]
        self.age[done] = 0
        return self.age[:, None].astype(np.float32), rewards, done, infos

    def close(self) -> None: ...
    def get_attr(self, *_: Any, **__: Any) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, *_: Any, **__: Any) -> None: ...
    def env_method(self, *_: Any, **__: Any) -> Any: ...
    def env_is_wrapped(self, *_: Any, **__: Any) -> Any: ...


def test_an_action_holds_and_its_rewards_are_summed() -> None:
    inner = Counting()
    env = HeldActions(inner, 4)
    env.reset()
    obs: Any
    obs, rewards, dones, infos = env.step(np.array([1, 2]))
    assert inner.seen == [[1, 2]] * 4
    assert rewards.tolist() == [1 + 2 + 3, 1 + 2 + 3 + 4] and dones.tolist() == [True, False]
    assert obs[:, 0].tolist() == [1, 4] and [info["age"] for info in infos] == [3, 4]
    assert env.step(np.array([0, 0]))[1].tolist() == [1 + 2 + 3, 5 + 6 + 7 + 8]  # the new episode's first frame was carried over


def test_policies_are_given_what_they_see_how_it_changed_and_what_they_did() -> None:
    env = PolicyInputs(HeldActions(Counting(), 4), 1)
    first: Any = env.reset()
    assert env.observation_space.shape == first.shape[1:] == (1 + 1 + 5 * 11,) and not first[:, 1:].any()
    obs: Any
    obs, _, _, infos = env.step(np.array([1, 2]))
    assert obs[0, 0] == 1 and not obs[0, 1:].any(), "an episode begins"
    assert obs[1, :2].tolist() == [4, 4] and decisions(obs[1], 5) == [(2, 0)]
    last = infos[0]["terminal_observation"]
    assert last[:2].tolist() == [3, 3] and decisions(last, 5) == [(1, 0)]
    obs = env.step(np.array([1, 2]))[0]
    assert obs[1, :2].tolist() == [8, 4] and decisions(obs[1], 5) == [(2, 1)]
    obs = env.step(np.array([1, 0]))[0]
    assert decisions(obs[1], 5) == [(0, 0)], "another decision"


@pytest.mark.parametrize("truncates", [False, True])
def test_scores_are_estimated_from_the_chance_of_an_end(truncates: bool) -> None:
    env = ScoreEstimate(Counting(truncates=truncates), cap=20)
    env.reset()
    assert env.take() is None
    for _ in range(6):
        env.step(np.array([0, 0]))
    mean = (2 * (1 + 2 + 3) + 21) / 12
    assert env.take() == pytest.approx(sum(mean * 0.9**t for t in range(20)))
    assert env.take() is None


def test_rewards_are_reduced_by_the_chance_of_an_end() -> None:
    env = ExpectedEnds(Counting((1, 1)), gamma=0.9)
    env.reset()
    _, rewards, dones, infos = env.step(np.array([0, 0]))
    worth = 1 / (1 - 0.9 * (1 - 0.1))  # a reward of 1 and a chance of 0.1 in every frame
    assert rewards == pytest.approx([1 - 0.1 * worth] * 2) and dones.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
