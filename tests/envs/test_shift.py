"""The action at t makes frame, reward and end t + 1: from recording to environment, where an off-by-one anywhere would show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_DIT, TINY_TOKENIZER
from steady import counted_budgets

from worldsim.controls import Controls, ControlSpec
from worldsim.data import DatasetInfo, Recorder
from worldsim.envs.dream import DreamEnv
from worldsim.model.noise import NoiseConfig
from worldsim.train.config import DynamicsStage, TokenizerStage, TrainConfig
from worldsim.train.dynamics import DynamicsObjective
from worldsim.train.loop import LoopConfig
from worldsim.train.run import train

SPEC = ControlSpec(keys=("a", "d", "x"), exclusive=(("a", "d"),))
LOOP = LoopConfig(learning_rate=5e-3, warmup=5, ema=0.95)
CONFIG = TrainConfig(
    "test/lamps",
    tokenizer=TokenizerStage(replace(TINY_TOKENIZER, channels=(16, 24, 32)), loop=LOOP, batch=16),
    dynamics=DynamicsStage(
        replace(TINY_DIT, depth=2, codes=0, reveals=False, temporal="time", temporal_every=2),
        DynamicsObjective(NoiseConfig(shortcut_share=0), reward_weight=0.1, end_weight=0.2),
        LOOP,
        batch=16,
        frames=4,
    ),
    tokenizer_share=0.3,
)


def record_lamps(root: Path, episodes: int = 60, length: int = 20) -> Path:
    """ "a" lights the left half of the next frame and pays 1, "d" the right half and costs 1, "x" ends the episode at once."""
    info = DatasetInfo(game="test/lamps", control_spec=SPEC, height=32, width=32, fps=10.0, frame_skip=1, lossless=True)
    rng = np.random.default_rng(0)
    with Recorder(root, info) as recorder:
        for episode in range(episodes):
            recorder.begin(seed=episode, policy="random", split="eval" if episode < 10 else "train")
            frame = np.full((32, 32, 3), 40, np.uint8)
            for t in range(length):
                side, ends = int(rng.integers(-1, 2)), t > 3 and rng.random() < 0.08
                vector = np.array([side < 0, side > 0, ends], np.float32)
                recorder.append(frame, vector, float(-side), bool(ends), not ends and t == length - 1)
                if ends:
                    break
                frame = np.full((32, 32, 3), 40, np.uint8)
                frame[:, :16] += np.uint8(160 * (side < 0))
                frame[:, 16:] += np.uint8(160 * (side > 0))
            recorder.end()
    return root


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> DreamEnv:
    folder = tmp_path_factory.mktemp("lamps")
    with counted_budgets():
        world = train(CONFIG, record_lamps(folder / "data"), folder / "run", budget=9, device="cpu", compiled=False).world
    return DreamEnv(world, device="cpu")


def test_frame_reward_and_end_are_those_of_the_action_just_taken(env: DreamEnv) -> None:
    rng = np.random.default_rng(1)
    sides, ends = rng.integers(-1, 2, 80), rng.random(80) < 0.25
    lit, paid, chance = [], [], []
    env.reset(seed=0)
    for side, end in zip(sides, ends, strict=True):
        keys = {key for key, held in (("a", side < 0), ("d", side > 0), ("x", end)) if held}
        obs, reward, terminated, _, info = env.step(Controls(keys=keys))
        if not end:  # of an end there is no picture
            lit.append((obs[:, :16].mean() - obs[:, 16:].mean()) / 160)
        paid.append(reward)
        chance.append(info["end_probability"])
        if terminated:
            env.reset()
    wanted = -sides
    assert agreement(wanted[~ends], lit) > 0.9
    assert agreement(wanted[~ends], np.array(paid)[~ends]) > 0.9
    assert np.mean(np.array(chance)[ends]) > 0.5 > 5 * np.mean(np.array(chance)[~ends])
    for shift in (-1, 1):
        assert agreement(np.roll(wanted, shift), paid) < 0.5 and agreement(np.roll(ends, shift), chance) < 0.5


def agreement(one: np.ndarray, other: object) -> float:
    return float(np.corrcoef(one, np.asarray(other, float))[0, 1])
