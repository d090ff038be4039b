"""The recording policies: what they press, for how long, and how much of a map they see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from worldsim.envs.games import POLICIES, make_policy
from worldsim.envs.games.policies import Coverage, StickyRandom

from worldsim.controls import ControlSpec
from worldsim.errors import GameError

SPEC = ControlSpec(keys=("w", "a", "s", "d"), mouse_limit=(20, 0), buttons=("left",), exclusive=(("a", "d"), ("w", "s")))
INFO = {"position": np.zeros(3, np.float32)}


def play(policy, steps: int, seed: int = 0) -> np.ndarray:
    """Vectors `(steps, A)` of a policy that never gets anywhere."""
    policy.reset(np.random.default_rng(seed))
    return np.stack([policy.act(INFO) for _ in range(steps)])


@pytest.mark.parametrize("name", POLICIES)
def test_vectors_are_valid_and_repeat_with_the_seed(name):
    vectors = play(make_policy(name, SPEC), 500, seed=3)
    assert vectors.shape == (500, SPEC.size) and vectors.dtype == np.float32
    assert set(np.unique(vectors[:, :4])) == {0, 1}
    assert np.abs(vectors[:, 4]).max() <= 20 and not vectors[:, 5].any()
    assert np.array_equal(vectors, play(make_policy(name, SPEC), 500, seed=3))
    assert not np.array_equal(vectors, play(make_policy(name, SPEC), 500, seed=4))


@pytest.mark.parametrize("name", POLICIES)
def test_exclusive_keys_are_never_held_together(name):
    w, a, s, d = play(make_policy(name, SPEC), 2000)[:, :4].T
    assert not (a * d).any() and not (w * s).any()


def test_random_uses_every_control_and_every_rest():
    vectors = play(StickyRandom(SPEC), 5000)
    keys, dx, fire = vectors[:, :4], vectors[:, 4], vectors[:, 6]
    assert (keys.mean(0) > 0.25).all()
    assert (keys[:, [1, 3]].sum(1) == 0).mean() > 0.1
    assert (dx == 0).mean() > 0.15 and (dx > 8).any() and (dx < -8).any()
    assert 0.1 < fire.mean() < 0.5


def test_random_turns_independently_of_keys():
    vectors = play(StickyRandom(SPEC), 20000)
    assert abs(np.corrcoef(vectors[:, 3], vectors[:, 4])[0, 1]) < 0.05


def test_random_holds_grow_with_the_setting():
    def mean_hold(hold: tuple[float, float]) -> float:
        keys = play(StickyRandom(SPEC, hold=hold), 4000)[:, :4]
        return len(keys) / (1 + (np.diff(keys, axis=0) != 0).any(1).sum())

    assert mean_hold((8, 30)) > 2 * mean_hold((1, 3))


def test_random_works_without_a_mouse_or_groups():
    vectors = play(StickyRandom(ControlSpec(keys=("space",))), 500)
    assert vectors.shape == (500, 1) and 0.2 < vectors.mean() < 0.8


class Rooms:
    """Five rooms of 160 units in a row, joined by corridors of 64; walkers have a radius of 16 and slide along walls."""

    def __init__(self, xy: tuple[float, float]) -> None:
        self.xy, self.angle = np.array(xy), 90.0

    @staticmethod
    def free(x: float, y: float) -> bool:
        in_room = 16 <= x % 320 <= 144 and 16 <= y <= 144
        return 16 <= x <= 1424 and (in_room or 64 <= y <= 96)

    def step(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        w, a, s, d, dx = vector[:5]
        self.angle = (self.angle - dx) % 360
        ahead = math.radians(self.angle)
        forward, left = 12 * (w - s), 12 * (a - d)
        move = np.array([forward * math.cos(ahead) - left * math.sin(ahead), forward * math.sin(ahead) + left * math.cos(ahead)])
        for axis in (0, 1):
            trial = self.xy.copy()
            trial[axis] += move[axis]
            if self.free(*trial):
                self.xy = trial
        return {"position": np.array([*self.xy, self.angle], np.float32)}


def explore(policy, seed: int, steps: int = 1000) -> tuple[int, float]:
    """Number of free 32-unit cells seen, and the share of steps that did not move."""
    rooms = Rooms((40, 40))
    policy.reset(np.random.default_rng(seed))
    info = rooms.step(np.zeros(SPEC.size))
    cells, still = set(), 0
    for _ in range(steps):
        before = rooms.xy
        info = rooms.step(policy.act(info))
        still += bool(np.hypot(*(rooms.xy - before)) < 1)
        cells.add(tuple(rooms.xy // 32))
    return len(cells), still / steps


def test_coverage_sees_more_and_stands_less_than_random():
    coverage = np.mean([explore(Coverage(SPEC), seed) for seed in range(6)], axis=0)
    random = np.mean([explore(StickyRandom(SPEC), seed) for seed in range(6)], axis=0)
    assert coverage[0] > 1.2 * random[0]
    assert coverage[1] < 0.5 * random[1]


def test_coverage_turns_gently_and_both_ways():
    policy, rooms = Coverage(SPEC), Rooms((40, 40))
    policy.reset(np.random.default_rng(0))
    info = rooms.step(np.zeros(SPEC.size))
    turns = []
    for _ in range(2000):
        vector = policy.act(info)
        turns.append(vector[4])
        info = rooms.step(vector)
    assert np.quantile(np.abs(turns), 0.85) <= Coverage.TURN < np.abs(turns).max()
    assert 0.25 < (np.array(turns) > 0).mean() < 0.75


def test_coverage_says_what_it_needs():
    with pytest.raises(GameError, match=r"needs the key 'w' and mouse dx.*use 'random'"):
        Coverage(ControlSpec(keys=("a", "d")))


def test_an_unknown_policy_is_named_with_a_suggestion():
    with pytest.raises(GameError, match=r"unknown policy 'coverge'.*Did you mean 'coverage'"):
        make_policy("coverge", SPEC)
