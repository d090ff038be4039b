"""Names for `gymnasium.make`: what they are, what they cost, and that their specs can be kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import worldsim  # noqa: F401 (registers)
from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import GAMES, find_game
from worldsim.envs.registration import env_id
from worldsim.errors import WorldError
from worldsim.world import find_world, read_config
from worldsim.worlds import shipped_worlds


def test_importing_registers_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, worldsim, gymnasium\n"
        "assert not {'torch', 'pygame', 'vizdoom', 'stable_baselines3'} & set(sys.modules)\n"
        "print(*gymnasium.registry)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert {"WorldSim/DoomTakeCover-v0", "WorldSim/DoomTakeCover-Real-v0"} <= set(run.stdout.split())


def test_every_shipped_world_and_every_game_has_its_names() -> None:
    assert env_id("doom/take-cover") == "WorldSim/DoomTakeCover-v0"
    dreams = {env_id(name) for name in shipped_worlds()}
    twins = {env_id(name, real=True) for name in (*shipped_worlds(), *GAMES)}
    ours = {name for name in gymnasium.registry if name.startswith("WorldSim/")}
    assert ours == dreams | twins | {"WorldSim/Dream-v0", "WorldSim/Real-v0"}
    assert env_id("doom/my-way-home", real=True) in twins


def test_any_folder_becomes_an_environment_with_or_without_the_prefix(tiny_world_path: Path) -> None:
    for name in ("WorldSim/Dream-v0", "worldsim:WorldSim/Dream-v0"):
        env = gymnasium.make(name, world=str(tiny_world_path), device="cpu", obs="latent", max_episode_steps=2)
        env.reset(seed=0)
        assert [env.step(env.action_space.sample())[3] for _ in range(2)] == [False, True]
        assert isinstance(env.unwrapped, DreamEnv)


def test_specs_say_when_an_episode_ends_and_when_a_game_is_solved() -> None:
    for name in shipped_worlds():
        for id in (env_id(name), env_id(name, real=True)):
            config = read_config(find_world(name))
            tics = find_game(config.game).max_tics
            assert tics is not None and gymnasium.spec(id).max_episode_steps == tics // config.frame_skip
    for game, solved in (("doom/take-cover", 750.0), ("toy/dodge", 180.0), ("doom/my-way-home", None)):
        assert gymnasium.spec(env_id(game, real=True)).reward_threshold == solved


def test_dreams_and_twins_end_where_the_game_does_unless_told_otherwise() -> None:
    name = env_id("toy/dodge", real=True)
    for limit, ends in ((None, True), (-1, False)):
        env = gymnasium.make(name, max_episode_steps=limit)
        env.reset(seed=1)
        moves = [{"keys": np.array(keys)} for keys in ([1, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 0])]
        cut = [env.step(moves[step % 8])[3] for step in range(200)]
        assert cut == [False] * 199 + [ends]


def test_specs_go_to_json_and_back(tiny_world_path: Path) -> None:
    env = gymnasium.make("WorldSim/Dream-v0", world=str(tiny_world_path), device="cpu", actions="flat", stack=2, temperature=1.2)
    assert env.spec is not None
    again = EnvSpec.from_json(env.spec.to_json())
    assert again == env.spec
    made = gymnasium.make(again)
    assert isinstance(made.unwrapped, DreamEnv) and made.unwrapped.world.temperature == 1.2
    assert made.observation_space == env.observation_space and made.action_space == env.action_space


def test_unknown_names_are_answered_with_the_nearest(tiny_world_path: Path) -> None:
    with pytest.raises(gymnasium.error.NameNotFound, match=r"Did you mean: `DoomTakeCover`"):
        gymnasium.make("WorldSim/DoomTakeCovr-v0")
    with pytest.raises(WorldError, match=r"no world 'doom/take-covr'.*Did you mean 'doom/take-cover'"):
        gymnasium.make("WorldSim/Dream-v0", world="doom/take-covr")
