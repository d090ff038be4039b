"""The recording policies: what they press, for how long, and how much of a map they see."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.controls import ControlSpec
from worldsim.envs.games import POLICIES, make, make_policy
from worldsim.envs.games.policies import Coverage, StickyRandom, Sweeping
from worldsim.errors import GameError

SPEC = ControlSpec(keys=("w", "a", "s", "d"), mouse_limit=(20, 0), buttons=("left",), exclusive=(("a", "d"), ("w", "s")))
INFO = {"x": 0.0, "y": 0.0, "angle": 0.0}


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


def test_sweeping_goes_to_and_fro():
    """Either key of a pair after the other, however long it rested; all durations within the range."""
    a, d = play(Sweeping(SPEC, hold=(4, 9), rest=0.1), 20000)[:, [1, 3]].T
    way = d - a
    changes = np.flatnonzero(np.diff(way)) + 1
    lengths, ways = np.diff(changes), way[changes[:-1]]
    moves = ways[ways != 0]
    assert (moves[1:] == -moves[:-1]).all()
    assert set(lengths[ways != 0]) == set(range(4, 10))
    assert 0.05 < (way == 0).mean() < 0.15


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
        return {"x": self.xy[0], "y": self.xy[1], "angle": self.angle}


def walk(policy, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `(steps, A)` and positions `(steps, 3)` of a walk through the rooms."""
    rooms = Rooms((40, 40))
    policy.reset(np.random.default_rng(seed))
    info = rooms.step(np.zeros(SPEC.size))
    vectors, positions = [], []
    for _ in range(steps):
        vectors.append(policy.act(info))
        info = rooms.step(vectors[-1])
        positions.append([info["x"], info["y"], info["angle"]])
    return np.stack(vectors), np.array(positions, np.float32)


def test_coverage_seldom_stands_at_walls():
    def still(policy) -> float:
        positions = np.concatenate([walk(policy, 600, seed)[1] for seed in range(4)])
        return float((np.hypot(*np.diff(positions[:, :2], axis=0).T) < 1).mean())

    assert still(Coverage(SPEC)) < 0.5 * still(StickyRandom(SPEC))


def test_coverage_sees_more_of_a_real_maze_than_random():
    pytest.importorskip("vizdoom")
    env = make("doom/my-way-home")

    def cells_seen(policy) -> float:
        total = 0
        for seed in range(4):
            info, cells = env.reset(seed=seed)[1], set()
            policy.reset(np.random.default_rng(seed))
            for _ in range(800):
                *_, terminated, _, info = env.step(policy.act(info))
                if terminated:
                    break
                cells.add((info["x"] // 64, info["y"] // 64))
            total += len(cells)
        return total

    coverage, random = (
        cells_seen(Coverage(env.get_wrapper_attr("control_spec"))),
        cells_seen(StickyRandom(env.get_wrapper_attr("control_spec"))),
    )
    env.close()
    assert coverage > 1.1 * random


def test_coverage_turns_gently_and_both_ways():
    turns = walk(Coverage(SPEC), 2000, seed=0)[0][:, 4]
    assert np.quantile(np.abs(turns), 0.85) <= Coverage.TURN < np.abs(turns).max()
    assert 0.25 < (turns > 0).mean() < 0.75


def test_coverage_gives_every_key_with_turns_to_either_side():
    vectors = walk(Coverage(SPEC), 4000, seed=0)[0]
    for key in range(4):
        turns = vectors[vectors[:, key] > 0, 4]
        assert len(turns) > 400 and (turns > 1).mean() > 0.1 and (turns < -1).mean() > 0.1


def test_coverage_says_what_it_needs():
    with pytest.raises(GameError, match=r"needs the key 'w' and mouse dx.*use 'random'"):
        Coverage(ControlSpec(keys=("a", "d")))


def test_an_unknown_policy_is_named_with_a_suggestion():
    with pytest.raises(GameError, match=r"unknown policy 'coverge'.*Did you mean 'coverage'"):
        make_policy("coverge", SPEC)


def test_shooting_turns_to_the_largest_target_and_shoots_when_it_is_ahead() -> None:
    def mean(x: float) -> np.ndarray:
        info = {**INFO, "frame": np.zeros((64, 96, 3), np.uint8), "targets": [("imp", x, 20, 4, 20), ("imp", 40, 20, 4, 10)]}
        policy = make_policy("shooting", SPEC)
        policy.reset(np.random.default_rng(0))
        return np.stack([policy.act(info) for _ in range(400)]).mean(0)

    left, middle, right = mean(5.0), mean(46.0), mean(87.0)
    assert left[4] < -4 < 4 < right[4] and abs(middle[4]) < 2
    assert middle[6] > 0.4 > 0.2 > max(left[6], right[6])


def test_standing_mostly_rests_and_strafing_mostly_steps_aside() -> None:
    standing, strafing = (play(make_policy(name, SPEC), 3000) for name in ("standing", "strafing"))
    assert (standing == 0).all(1).mean() > 0.5 and standing[:, :4].any() and standing[:, 4].any()
    assert strafing[:, [1, 3]].sum(1).mean() > 0.7 and strafing[:, [0, 2]].mean() < 0.1
