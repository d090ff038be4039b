"""Decisions that hold, scores by the chance of an end, and ends that are charged by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import VecEnv

from worldsim.transfer.envs import ExpectedEnds, Held, Seen, Tally
from worldsim.transfer.memory import SINCE, Past, memory_space, remember
from worldsim.transfer.policies import past_of


class Counting(VecEnv):
    """Two rows that show and count their frames; row i ends after `lengths[i]`, which every frame had a chance of 0.1 to do."""

    def __init__(self, lengths: tuple[int, ...] = (3, 100), cut: bool = False) -> None:
        super().__init__(len(lengths), spaces.Box(-np.inf, np.inf, (1,), np.float32), spaces.Discrete(5))
        self.lengths, self.cut = np.array(lengths), cut
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
            {"age": age, "end_probability": 0.1, "TimeLimit.truncated": bool(over and self.cut), "terminal_observation": [age]}
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
    env = Held(inner, 4)
    env.reset()
    obs: Any
    obs, rewards, dones, infos = env.step(np.array([1, 2]))
    assert inner.seen == [[1, 2]] * 4
    assert rewards.tolist() == [1 + 2 + 3, 1 + 2 + 3 + 4] and dones.tolist() == [True, False]
    assert obs[:, 0].tolist() == [1, 4] and [info["age"] for info in infos] == [3, 4]
    assert env.step(np.array([0, 0]))[1].tolist() == [1 + 2 + 3, 5 + 6 + 7 + 8]  # the new episode's first frame was carried over


def told(known: NDArray[Any], choices: int) -> list[tuple[int, int]]:
    """The choice on each axis, counted through, and the class of how many times in a row it was made."""
    return [(int(choice), int(since)) for choice, since in np.argwhere(known[-choices * (len(SINCE) + 1) :].reshape(choices, -1))]


def test_policies_know_what_they_see_how_it_changed_and_what_they_did() -> None:
    env = Seen(Held(Counting(), 4), 1)
    first: Any = env.reset()
    assert env.observation_space.shape == first.shape[1:] == (1 + 1 + 5 * 11,) and not first[:, 1:].any()
    obs: Any
    obs, _, _, infos = env.step(np.array([1, 2]))
    assert obs[0, 0] == 1 and not obs[0, 1:].any(), "an episode begins"
    assert obs[1, :2].tolist() == [4, 4] and told(obs[1], 5) == [(2, 0)]
    last = infos[0]["terminal_observation"]
    assert last[:2].tolist() == [3, 3] and told(last, 5) == [(1, 0)]
    obs = env.step(np.array([1, 2]))[0]
    assert obs[1, :2].tolist() == [8, 4] and told(obs[1], 5) == [(2, 1)]
    obs = env.step(np.array([1, 0]))[0]
    assert told(obs[1], 5) == [(0, 0)], "it changed its mind"


def test_how_long_a_decision_stands_is_told_in_classes() -> None:
    actions, seen = spaces.Discrete(3), np.zeros((1, 4), np.float32)
    past, classes = Past.none(seen, actions), []
    for _ in range(20):
        past = past.decided(seen, np.array([2]))
        classes.append(told(remember(seen, past, actions)[0], 3)[0][1])
    assert classes == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 9, 10, 10, 10]


def test_actions_with_several_axes_are_remembered_apart() -> None:
    actions = spaces.MultiDiscrete([3, 2])
    seen, before = np.ones((2, 4, 5), np.float32), np.full((2, 4, 5), 3, np.float32)
    past = Past.none(before, actions).decided(before, np.array([[2, 1], [0, 1]])).decided(before, np.array([[2, 0], [0, 1]]))
    known = remember(seen, past, actions)
    assert memory_space(4 * 5, actions).shape == known.shape[1:] == (40 + 55,)
    assert (known[:, :20] == 1).all() and (known[:, 20:40] == -2).all()
    assert told(known[0], 5) == [(2, 1), (3, 0)] and told(known[1], 5) == [(0, 1), (4, 1)]
    assert not remember(seen, Past.none(seen, actions), actions)[:, 20:].any()


def test_recorded_frames_are_remembered_as_if_they_were_decided_on() -> None:
    chosen, seen = np.array([1, 1, 1, 1, 1, 0, 0, 1])[:, None], np.arange(8.0, dtype=np.float32)[:, None]
    past = past_of(seen, chosen, hold=2)
    assert past.seen[:, 0].tolist() == [0, 1, 0, 1, 2, 3, 4, 5], "at first nothing has changed"
    assert past.chosen[2:, 0].tolist() == [1, 1, 1, 1, 1, 0]
    assert past.since[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 1]
    by_hand = Past.none(seen[1:2], spaces.Discrete(2))
    for frame in (1, 3, 5):
        by_hand = by_hand.decided(seen[frame : frame + 1], chosen[frame : frame + 1])
    assert all(np.array_equal(a, b) for a, b in zip(vars(by_hand).values(), vars(past.rows(np.array([7]))).values(), strict=True))


@pytest.mark.parametrize("cut", [False, True])
def test_scores_count_ends_by_their_chance(cut: bool) -> None:
    env = Tally(Counting(cut=cut), cap=20)
    env.reset()
    assert env.take() is None
    for _ in range(6):
        env.step(np.array([0, 0]))
    mean = (2 * (1 + 2 + 3) + 21) / 12
    assert env.take() == pytest.approx(sum(mean * 0.9**t for t in range(20)))
    assert env.take() is None


def test_every_frame_is_charged_its_chance_of_an_end() -> None:
    env = ExpectedEnds(Counting((1, 1)), gamma=0.9)
    env.reset()
    _, rewards, dones, infos = env.step(np.array([0, 0]))
    worth = 1 / (1 - 0.9 * (1 - 0.1))  # a reward of 1 and a chance of 0.1 in every frame
    assert rewards == pytest.approx([1 - 0.1 * worth] * 2) and dones.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
