"""Dream servers and their learner: worldsim/transfer/servers.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.cli.app import main
from worldsim.envs.games import GameSpec
from worldsim.errors import ScaleError
from worldsim.scale.cluster import Cluster, opened
from worldsim.scale.config import RayOptions
from worldsim.scale.folders import read_files
from worldsim.transfer.config import PPOConfig, Randomness, TransferConfig
from worldsim.world import World

from .conftest import Machines

pytest.importorskip("stable_baselines3")

from worldsim.transfer.envs import dream_envs
from worldsim.transfer.policies import train_ppo
from worldsim.transfer.servers import DreamPlan, DreamServers

DREAMS = 4


@pytest.fixture(scope="module")
def plan(short_world_path: Path) -> DreamPlan:
    """Dreams that end with every tenth frame or so, or after 7."""
    world = World.load(short_world_path, device="cpu", runtime="torch")
    config = world.config
    game = GameSpec("test/tiny", "nowhere:make", config.control_spec, config.height, config.width, config.fps, config.frame_skip)
    starts = (world.starts, world.start_controls)
    return DreamPlan(read_files(short_world_path), Randomness(), 7, starts, game, "cpu")


def play(envs: Any, steps: int, before: Callable[[int], None] = lambda step: None) -> list[Any]:
    """What random actions lead to."""
    rng = np.random.default_rng(0)
    envs.seed(3)
    seen = [(envs.reset(), envs.reset_infos)]
    for step in range(steps):
        before(step)
        seen.append(envs.step(rng.integers(0, envs.action_space.nvec, (DREAMS, len(envs.action_space.nvec)))))
    return seen


def test_servers_dream_what_one_batch_dreams(plan: DreamPlan, cluster: Cluster) -> None:
    envs = dream_envs(plan.open(DREAMS))
    with closing(DreamServers(cluster, plan, DREAMS, 1)) as one, closing(envs):
        assert (one.observation_space, one.action_space) == (envs.observation_space, envs.action_space)
        assert_same(play(envs, 12), play(one, 12))


def assert_same(left: list[Any], right: list[Any]) -> None:
    ends = 0
    for one, other in zip(left, right, strict=True):
        *arrays, infos = one
        for array, twin in zip(arrays, other, strict=False):
            np.testing.assert_array_equal(array, twin)
        ends += sum("terminal_observation" in info for info in infos)
        assert [sorted(info) for info in infos] == [sorted(info) for info in other[-1]]
    assert ends > 0, "some dreams ended"


def test_a_server_that_dies_is_replaced_and_nothing_is_counted_twice(
    plan: DreamPlan, machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two servers is killed before states are kept for the first time, the other after."""
    with opened(RayOptions(ray=(machines.address,), ray_cpus=0.5)) as cluster:
        assert cluster is not None
        with closing(DreamServers(cluster, plan, DREAMS, 2, every=6)) as envs:
            expected = play(envs, 12)

            def die(step: int) -> None:
                if step in (2, 8):
                    cluster.stop([envs._seats[step // 8].worker])

            assert_same(expected, play(envs, 12, die))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "worldsim: a dream server died; another repeats 3 steps", "the reset and two frames"
    assert second == "worldsim: a dream server died; another repeats 2 steps", "those since the sixth"


def test_a_learner_learns_the_same_from_servers(
    plan: DreamPlan, short_world_path: Path, cluster: Cluster, tmp_path: Path
) -> None:
    world = World.load(short_world_path, device="cpu", runtime="torch")
    config = TransferConfig(cap_tics=40, hold=2, checkpoints=2, ppo=PPOConfig(patch=4, hidden=8, rollout=4, batch=8, epochs=1))
    notes, weights = [], []
    for name, make in (
        ("one", lambda: dream_envs(plan.open(DREAMS))),
        ("servers", lambda: DreamServers(cluster, plan, DREAMS, 1)),
    ):
        (tmp_path / name).mkdir()
        with closing(make()) as envs:
            notes.append(train_ppo(envs, world, 64, 0, config, tmp_path / name, dreamed=True))
        weights.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert notes[0] == notes[1] and notes[0][-1]["steps"] == 64
    assert weights[0] == weights[1] and len(weights[0]) == 2


def test_more_servers_than_dreams_are_refused(plan: DreamPlan, cluster: Cluster) -> None:
    with pytest.raises(ScaleError, match=r"servers was 5; give a whole number from 1 to 4"):
        DreamServers(cluster, plan, DREAMS, 5)
    with pytest.raises(ScaleError, match=r"2 dream servers were wanted, with 1 CPUs and 0 GPUs each; the cluster has room for 1"):
        DreamServers(cluster, plan, DREAMS, 2)


def test_servers_are_timed(
    short_world_path: Path, machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--actors", "1", "--dreams", "2", "--rollouts", "1", "--device", "cpu", "--ray", machines.address]
    main(["bench", "dreams", str(short_world_path), *few, "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [(row["servers"], row["dreams"]) for row in figures["results"]] == [(0, 2), (1, 2)]
    assert all(row["steps_per_second"] > 0 and 0 < row["waiting"] <= 1 for row in figures["results"])
    assert "learner waits" in capsys.readouterr().out and figures["cluster"]["room"] == 1


def test_a_server_that_always_dies_ends_it(plan: DreamPlan, machines: Machines) -> None:
    with opened(RayOptions(ray=(machines.address,), ray_retries=1)) as cluster:
        assert cluster is not None
        fatal: Any = Fatal()
        broken = replace(plan, game=fatal)
        with pytest.raises(ScaleError, match=r"the dream server of rows 0 to 3 died 2 times in a row"):
            DreamServers(cluster, broken, DREAMS, 1)


class Fatal:
    """Takes the process with it that unpickles it."""

    def __reduce__(self) -> Any:
        import os

        return os._exit, (1,)
