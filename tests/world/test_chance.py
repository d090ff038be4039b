"""The random numbers of a batch: of each row its own, whatever the others do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from worldsim.world.chance import Chance

SHAPE = (2, 3, 4)


def seeded(*seeds: int) -> Chance:
    chance = Chance(len(seeds))
    for row, seed in enumerate(seeds):
        chance.restart(row, seed, 5)
    return chance


def test_shapes_and_what_rows_at_rest_get() -> None:
    noise, choices = seeded(1, 2).draw(np.array([True, False]), SHAPE)
    assert noise.shape == (2, 2, *SHAPE) and choices.shape == (2, 7) and noise.dtype == choices.dtype == torch.float32
    assert not noise[1].any() and not choices[1, :-1].any() and choices[1, -1] == torch.inf
    assert noise[0].all() and choices[0].isfinite().all()


def test_a_row_draws_the_same_alone_or_with_others() -> None:
    both, alone = seeded(1, 2), seeded(2)
    both.draw(np.array([True, False]), SHAPE)
    noise, choices = both.draw(np.array([True, True]), SHAPE)
    expected = alone.draw(np.array([True]), SHAPE)
    assert torch.equal(noise[1], expected[0][0]) and torch.equal(choices[1], expected[1][0])


def test_numbers_are_standard_normal() -> None:
    noise, _ = seeded(0).draw(np.array([True]), (32, 32, 8))
    assert float(noise.mean()) == pytest.approx(0, abs=0.03) and float(noise.std()) == pytest.approx(1, abs=0.03)


def test_a_restart_draws_every_start_and_repeats_with_the_seed() -> None:
    chance = Chance(1)
    starts = [chance.restart(0, seed, 3) for seed in range(40)]
    assert set(starts) == {0, 1, 2} and starts == [chance.restart(0, seed, 3) for seed in range(40)]


def test_the_first_seed_decides_all_later_episodes() -> None:
    def episodes(seed: int) -> list[torch.Tensor]:
        chance = seeded(seed)
        noises = []
        for _ in range(3):
            noises.append(chance.draw(np.array([True]), SHAPE)[0])
            chance.restart(0, None, 5)
        return noises

    assert all(map(torch.equal, episodes(7), episodes(7)))
    assert not torch.equal(episodes(7)[0], episodes(7)[1]) and not torch.equal(episodes(7)[1], episodes(8)[1])


def test_states_and_pickles_go_on_alike() -> None:
    chance, active = seeded(3), np.array([True])
    chance.draw(active, SHAPE)
    noise, seeds = chance.get_state([0])
    other, copied, reseeded = Chance(1), pickle.loads(pickle.dumps(chance)), Chance(1)
    other.set_state(0, noise[0], int(seeds[0]), None)
    reseeded.set_state(0, noise[0], int(seeds[0]), 9)
    expected = chance.draw(active, SHAPE)[0]
    assert torch.equal(other.draw(active, SHAPE)[0], expected) and torch.equal(copied.draw(active, SHAPE)[0], expected)
    assert not torch.equal(reseeded.draw(active, SHAPE)[0], expected)
    assert chance.restart(0, None, 1000) == other.restart(0, None, 1000) == copied.restart(0, None, 1000)
