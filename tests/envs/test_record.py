from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from disks import small_disk
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import worldsim
from worldsim.controls import Controls, ControlSpec
from worldsim.data import Dataset
from worldsim.data.check import check
from worldsim.data.format import video_path
from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import make
from worldsim.envs.record import RecordDataset, RecordVectorDataset
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import DataError, EnvError, FileError
from worldsim.provenance.tags import read_claim


def test_what_is_no_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match=r"env was 'ALE/Pong-v5'; give an environment of Gymnasium"):
        RecordDataset("ALE/Pong-v5", tmp_path / "data")  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


class Counter(gymnasium.Env[np.ndarray, Any]):
    """Shows its age as brightness, and ends after `length` steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (16, 32, 3), np.uint8)
    action_space: Any = gymnasium.spaces.Discrete(3)
    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012

    def __init__(self, length: int = 5) -> None:
        self.length, self.age = length, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.age = 0
        return self.look(), {"age": 0.0}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.age += 1
        return self.look(), float(action), self.age == self.length, False, {"age": float(self.age)}

    def look(self) -> np.ndarray:
        return np.full((16, 32, 3), 40 * self.age, np.uint8)


def ages(dataset: Dataset, i: int) -> list[int]:
    return [round(float(frame.mean()) / 40) for frame in dataset.frames(i)]


def test_an_episode_holds_what_was_seen_and_done(tmp_path: Path) -> None:
    env = worldsim.RecordDataset(Counter(), tmp_path / "d", policy="me", state=("age",), game="test/counter")
    for seed in (7, None):
        env.reset(seed=seed)
        for action in (0, 1, 2, 1, 0):
            env.step(action)
    env.close()
    data = Dataset(tmp_path / "d")
    first = data.episode(0)
    assert [episode.length for episode in data.episodes] == [5, 5] and data.info.fps == 10
    assert [(episode.seed, episode.policy) for episode in data.episodes] == [(7, "me"), (None, "me")]
    assert ages(data, 0) == [0, 1, 2, 3, 4] and first.states[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert first.rewards.tolist() == [0, 1, 2, 1, 0] and first.terminated.tolist() == [False] * 4 + [True]
    assert data.spec.keys == ("1", "2", "3") and first.actions.argmax(1).tolist() == [0, 1, 2, 1, 0]
    assert check(tmp_path / "d", progress=False)["problems"] == []


def test_an_episode_that_is_broken_off_is_kept_as_far_as_it_went(tmp_path: Path) -> None:
    env = RecordDataset(Counter(), tmp_path)
    env.reset()
    env.step(1)
    env.reset()
    env.step(1)
    env.step(1)
    env.reset()  # nothing is recorded of an episode without a step
    env.close()
    assert [(e.length, e.seed) for e in Dataset(tmp_path).episodes] == [(1, None), (2, None)]
    again = RecordDataset(Counter(), tmp_path)
    again.reset(seed=3)
    again.step(0)
    again.close()
    assert [episode.length for episode in again.episodes] == [1, 2, 1]


def test_controls_can_be_given(tmp_path: Path) -> None:
    spec = ControlSpec(keys=("a", "d"))
    env = RecordDataset(Counter(), tmp_path, controls=(spec, lambda action: Controls(keys={"a"} if action == 1 else set())))
    env.reset()
    for action in (0, 1, 2):
        env.step(action)
    env.close()
    assert Dataset(tmp_path).episode(0).actions.tolist() == [[0, 0], [1, 0], [0, 0]]


def test_what_shows_no_frames_is_refused(tmp_path: Path) -> None:
    env = RecordDataset(gymnasium.make("CartPole-v1"), tmp_path / "d")
    with pytest.raises(EnvError, match="make it with render_mode='rgb_array'"):
        env.reset()
    with pytest.raises(EnvError, match="controls="):
        RecordDataset(Unbounded(), tmp_path / "d")
    assert not (tmp_path / "d").exists()


class Unbounded(Counter):
    action_space: Any = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)


def test_an_environment_that_only_renders(tmp_path: Path) -> None:
    env = RecordDataset(gymnasium.make("CartPole-v1", render_mode="rgb_array"), tmp_path)
    env.reset(seed=0)
    for _ in range(3):
        env.step(1)
    env.close()
    data = Dataset(tmp_path)
    assert data.info.game == "CartPole-v1" and data.info.fps == 50 and data.frames(0).shape[0] == 3
    assert data.episode(0).actions.tolist() == [[0, 1]] * 3


def test_a_real_game_and_its_native_actions(tmp_path: Path) -> None:
    env = RecordDataset(make("toy/dodge"), tmp_path)
    env.reset(seed=1)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(4)]
    for action in actions:
        env.step(action)
    env.close()
    data = Dataset(tmp_path)
    assert np.array_equal(data.episode(0).actions, [data.spec.from_action(action) for action in actions])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_rows_of_a_vector_become_episodes(mode: AutoresetMode, tmp_path: Path) -> None:
    def make_counter(length: int) -> Any:
        return lambda: Counter(length)

    inner = SyncVectorEnv([make_counter(3), make_counter(5)], autoreset_mode=mode)
    env = RecordDataset(inner, tmp_path, state=("age",))
    assert isinstance(env, RecordVectorDataset)
    env.reset(seed=10)
    over = np.zeros(2, bool)
    for t in range(9):
        if mode == AutoresetMode.DISABLED and over.any():
            env.reset(options={"reset_mask": over})
        _, _, terminated, truncated, _ = env.step(np.array([t % 3, (t + 1) % 3]))
        over = terminated | truncated
    env.close()
    data = Dataset(tmp_path)
    assert {episode.seed for episode in data.episodes} == {10, 11, None}
    for i, episode in enumerate(data.episodes):
        whole = data.episode(i)
        assert ages(data, i) == list(range(episode.length)) and whole.states[:, 0].tolist() == list(range(episode.length))
        assert not whole.terminated[:-1].any() and (episode.length in (3, 5) or not whole.terminated[-1])
        assert whole.actions.argmax(1).tolist() == whole.rewards.tolist(), "an action and its reward are in one row"
    assert sorted(data.lengths.tolist()) == ([1, 3, 3, 3, 5] if mode == AutoresetMode.NEXT_STEP else [3, 3, 3, 4, 5])
    assert data.rows.terminated.sum() == (3 if mode == AutoresetMode.NEXT_STEP else 4)


def test_dreams_know_where_they_came_from(tiny_world_path: Path, tmp_path: Path) -> None:
    env = RecordDataset(DreamEnv(tiny_world_path, obs="latent", actions="flat", rewards=False), tmp_path / "one")
    env.reset(seed=5, options={"start": 2})
    env.step(env.action_space.sample())
    env.close()
    episode = Dataset(tmp_path / "one").episodes[0]
    assert (episode.seed, episode.start) == (5, '{"index": 2}') and episode.world_hash and '"batch": 1' in str(episode.sampler)

    many = RecordDataset(
        DreamVectorEnv(tiny_world_path, 2, horizon=2, output="torch", autoreset_mode="SameStep"), tmp_path / "two"
    )
    many.reset(seed=5)
    for _ in range(4):
        many.step(many.action_space.sample())
    many.close()
    episodes = Dataset(tmp_path / "two").episodes
    assert [episode.length for episode in episodes] == [2] * 4 and all(episode.replayable for episode in episodes)
    assert [episode.seed for episode in episodes[:2]] == [5, 6] and len({episode.seed for episode in episodes}) == 4
    for root, seeds in (("one", [5]), ("two", [5, 6])):
        claims = [read_claim(video_path(tmp_path / root, i), ".mp4") for i in range(len(seeds))]
        assert [(claim.world, claim.seed) for claim in claims if claim] == [("test/tiny", seed) for seed in seeds]


def test_a_full_disk_costs_the_running_episode_alone(tmp_path: Path) -> None:
    class Noise(Counter):
        def look(self) -> np.ndarray:
            return np.random.default_rng(self.age).integers(0, 256, (16, 32, 3), dtype=np.uint8)

    env = RecordDataset(Noise(length=400), tmp_path, lossless=True)
    env.reset()
    for _ in range(3):
        env.step(0)
    env.reset()
    with small_disk(40_000), pytest.raises(FileError, match="cannot write"):
        for _ in range(399):
            env.step(0)
        env.reset()
    env.reset()
    env.step(0)
    env.close()
    assert [episode.length for episode in Dataset(tmp_path).episodes] == [3, 1]
    assert check(tmp_path, progress=False)["problems"] == []


def test_another_kind_of_dataset_is_refused(tmp_path: Path) -> None:
    for game in ("one", "two"):
        env = RecordDataset(Counter(), tmp_path, game=game)
        if game == "one":
            env.reset()
            env.step(0)
        else:
            with pytest.raises(DataError, match="game one there, two here"):
                env.reset()
        env.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_process_loses_the_open_episode_alone(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nsys.path[:0] = sys.argv[2:]\n"
        "from worldsim import RecordDataset\nfrom envs.test_record import Counter\n"
        "env = RecordDataset(Counter(), sys.argv[1])\n"
        "for _ in range(2):\n    env.reset()\n    for _ in range(5): env.step(1)\n"
        "env.reset()\nfor _ in range(3): env.step(1)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "d"), str(root)], env={**os.environ}, check=False)
    assert run.returncode == -signal.SIGKILL
    assert [episode.length for episode in Dataset(tmp_path / "d").episodes] == [5, 5]
    again = RecordDataset(Counter(), tmp_path / "d")
    again.reset()
    again.step(0)
    again.close()
    assert len(Dataset(tmp_path / "d")) == 3 and check(tmp_path / "d", progress=False)["problems"] == []
