from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from transfer.conftest import CARD
from worldsim.data import Dataset
from worldsim.envs.games.dodge import DODGE
from worldsim.envs.twin import TwinEnv
from worldsim.errors import DataError
from worldsim.transfer.config import Randomness
from worldsim.transfer.episodes import (
    Moment,
    draw_moments,
    frame_encoder,
    latent_size,
    open_dreams,
    open_twin,
    play_dreams,
    play_real_from,
    start_contexts,
)
from worldsim.transfer.inputs import ACTION_SCALE, REPEATS
from worldsim.world import World

pytest.importorskip("stable_baselines3")

from worldsim.transfer.envs import PolicyInputs, real_envs

WINDOW = 4


@pytest.fixture
def held_out(dodge: dict[str, Any]) -> Dataset:
    return Dataset(dodge["data"], "eval")


@pytest.fixture
def world(dodge: dict[str, Any]) -> World:
    return World.load(dodge["worlds"][0], device="cpu", dtype=torch.float32)


def test_real_games_are_seen_as_dreams_are(world: World) -> None:
    size = latent_size(world)
    games: Any = PolicyInputs(real_envs(partial(open_twin, world, CARD, DODGE), 2), size, frame_encoder(world))
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
        history = shown[2 * size :].reshape(3, -1)
        assert history.sum() == history[0, np.searchsorted(REPEATS, decisions)] == ACTION_SCALE
    assert not obs[1, size:].any(), "another episode begins, and nothing was done in it"


def test_moments_are_drawn_evenly_from_all_that_have_a_context(held_out: Dataset) -> None:
    moments = draw_moments(held_out, WINDOW, 5_000, seed=0)
    every = [Moment(i, frame) for i, length in enumerate(held_out.lengths) for frame in range(WINDOW - 1, length)]
    assert set(moments) == set(every) and moments == draw_moments(held_out, WINDOW, 5_000, seed=0)
    with pytest.raises(DataError, match="no episode is 5000 frames long"):
        draw_moments(held_out, 5_000, 1, seed=0)


def test_start_contexts_end_with_their_moment(world: World, held_out: Dataset) -> None:
    moment = draw_moments(held_out, WINDOW, 8, seed=1)[-1]
    latents, controls = start_contexts(world, held_out, [moment, Moment(0, WINDOW - 1)])
    frame = held_out.frames(moment.episode, moment.frame, moment.frame + 1)
    assert torch.allclose(latents[0, -1], world.encode(frame)[0], atol=1e-5)
    assert not controls[1, 0].any(), "no action led to an episode's first frame"
    assert np.array_equal(controls[1, 1:].numpy(), held_out.episode(0).actions[: WINDOW - 1])


class Played:
    """Acts as a recording did from a moment on, and keeps what it is shown."""

    def __init__(self, env: TwinEnv, dataset: Dataset, moment: Moment) -> None:
        self.actions = env.view.flat.nearest(dataset.episode(moment.episode).actions[moment.frame :])
        self.shown: list[NDArray[Any]] = []

    def __call__(self, obs: NDArray[Any], last: NDArray[Any] | None) -> NDArray[Any]:
        assert (last is None) == (not self.shown)
        self.shown.append(obs[0])
        return self.actions[len(self.shown) - 1][None]


def test_the_game_goes_on_from_the_recorded_moment(world: World, held_out: Dataset) -> None:
    """Under the recorded actions it shows what was recorded, and scores what the recording scored from there on."""
    moment = max(draw_moments(held_out, WINDOW, 40, seed=2), key=lambda moment: moment.frame)
    with closing(TwinEnv(DODGE, world=world, actions="flat", horizon=None)) as env:
        act = Played(env, held_out, moment)
        (score,) = play_real_from(env, act, 1, held_out, [moment], seed=0)
    recorded = held_out.episode(moment.episode)
    assert moment.frame > WINDOW and score == recorded.rewards[moment.frame :].sum()
    assert np.array_equal(np.stack(act.shown), recorded.frames[moment.frame :])


def test_the_horizon_counts_from_the_moment_on(world: World, held_out: Dataset) -> None:
    long = int(np.argmax(held_out.lengths))
    moments = [Moment(long, WINDOW - 1), Moment(long, int(held_out.lengths[long]) - 1)]
    with closing(TwinEnv(DODGE, world=world, actions="flat", horizon=3)) as env:
        scores = play_real_from(env, lambda obs, last: np.array([0]), 1, held_out, moments, seed=0)
    assert scores[0] == 3 and 1 <= scores[1] <= 3


def test_each_dream_begins_at_its_own_moment(dodge: dict[str, Any], world: World, held_out: Dataset) -> None:
    moments = draw_moments(held_out, WINDOW, 5, seed=3)
    latents, _ = start_contexts(world, held_out, moments)
    seen: list[NDArray[Any]] = []

    def act(obs: NDArray[Any], last: NDArray[Any] | None) -> NDArray[Any]:
        if last is None:
            seen.append(obs)
        return np.zeros(len(obs), np.int64)

    folder: Path = dodge["worlds"][0]
    with closing(open_dreams(folder, Randomness(), 2, 6, held_out, moments, DODGE, "cpu")) as dreams:
        scores = play_dreams(dreams, act, 2, len(moments), seed=0)
    assert scores.shape == (5,) and (scores > 0).all() and [len(part) for part in seen] == [2, 2, 2]
    begun = np.concatenate(seen)[: len(moments)]
    assert np.allclose(begun, latents[:, -1].flatten(1).numpy(), atol=0.05)
