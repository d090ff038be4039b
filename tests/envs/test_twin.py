"""Real games behind the views of dreams."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import TINY_SPEC
from gymnasium.utils.env_checker import check_env

from worldsim.controls import Controls
from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import GAMES
from worldsim.envs.games.dodge import DodgeEnv
from worldsim.envs.registration import env_id
from worldsim.envs.twin import TwinEnv
from worldsim.errors import EnvError, GameError, WorldsimError
from worldsim.world import World

TAKE_COVER = "doom/take-cover"
needs_doom = pytest.mark.skipif(find_spec("vizdoom") is None, reason="needs vizdoom")


@needs_doom
@pytest.mark.parametrize("actions", ["native", "flat"])
@pytest.mark.parametrize("game", GAMES)
def test_checkers(game: str, actions: str) -> None:
    env: Any = gymnasium.make(env_id(game, real=True), actions=actions).unwrapped
    check_env(env, skip_render_check=True)
    assert all(action in env.action_space for action in env.get_keys_to_action().values())
    env.close()


@needs_doom
@pytest.mark.parametrize("game", GAMES)
def test_stable_baselines_checker(game: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = TwinEnv(game, actions="flat")
    small = GAMES[game].height < 36  # no picture for its convolutions, whose agents see latents
    with pytest.warns(UserWarning, match="minimal resolution") if small else nullcontext():
        checker.check_env(env)
    env.close()


@needs_doom
def test_flat_actions_are_those_that_the_games_declare() -> None:
    sizes = {TAKE_COVER: 3, "doom/my-way-home": [3, 3, 5], "doom/defend-the-center": [5, 2], "doom/deadly-corridor": [3, 3, 5, 2]}
    for game, size in sizes.items():
        env = TwinEnv(game, actions="flat")
        space: Any = env.action_space
        assert space.n == size if isinstance(size, int) else list(space.nvec) == size
        assert not env.view.vector(np.zeros(space.shape, int)).any(), "the first option is rest"
        env.close()


@needs_doom
@pytest.mark.parametrize("view", [{}, {"actions": "flat", "stack": 2}, {"obs": "latent"}])
def test_a_dream_and_its_twin_are_told_apart_by_their_pictures_alone(view: dict[str, Any]) -> None:
    dream, twin = (gymnasium.make(env_id(TAKE_COVER, real=real), device="cpu", **view).unwrapped for real in (False, True))
    assert isinstance(dream, DreamEnv) and isinstance(twin, TwinEnv)
    assert dream.observation_space == twin.observation_space and dream.action_space == twin.action_space
    assert dream.metadata == twin.metadata and dream.frame_skip == twin.frame_skip
    limits = [gymnasium.spec(env_id(TAKE_COVER, real=real)).max_episode_steps for real in (False, True)]
    assert limits == [2100 // dream.frame_skip] * 2
    for env in (dream, twin):
        env.reset(seed=0)
        obs, reward, *_ = env.step(Controls(keys={"a"}))
        assert obs in env.observation_space and reward == pytest.approx(env.frame_skip, abs=0.2), "one for each tic survived"
        env.close()


@needs_doom
def test_latents_of_the_twin_are_its_frames_through_the_tokenizer() -> None:
    twin = TwinEnv(world=TAKE_COVER, obs="latent", device="cpu", render_mode="rgb_array")
    latent, _ = twin.reset(seed=0)
    world, frame = twin.world, twin.render()
    assert world is not None and frame is not None
    decoded = world.decode(world.encode(frame[None]))[0].numpy()
    assert np.array_equal(latent, twin.view.flatten(world.encode(frame[None]))[0].numpy())
    assert np.abs(decoded.astype(float) - frame).mean() < 8
    twin.close()


@needs_doom
def test_ends_are_the_games_and_the_horizon() -> None:
    env = TwinEnv(TAKE_COVER, horizon=4)
    env.reset(seed=0)
    steps = [env.step(Controls()) for _ in range(4)]
    assert [step[3] for step in steps] == [False, False, False, True] and steps[-1][4]["tics"] == 8
    with pytest.raises(EnvError, match="the episode is over"):
        env.step(Controls())
    env.close()

    env = TwinEnv(TAKE_COVER)
    env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        *_, terminated, truncated, _ = env.step(Controls())
    assert terminated and not truncated
    env.close()


def test_the_games_own_truncation_counts() -> None:
    env = TwinEnv(DodgeEnv(max_tics=3))
    env.reset(seed=1)
    steps = [env.step(Controls(keys={"a"})) for _ in range(3)]
    assert [step[3] for step in steps] == [False, False, True] and not steps[-1][2]
    with pytest.raises(EnvError, match="the episode is over"):
        env.step(Controls())


def test_options_of_the_dream_are_taken_and_checked(tiny_world_path: Path) -> None:
    options: dict[str, Any] = {"num_steps": 1, "temperature": 1.3, "context_level": 0.2, "compiled": False, "rewards": False}
    TwinEnv("toy/dodge", dtype="float32", device="cpu", **options).reset(seed=0)
    for name, value in (("num_steps", 0), ("temperature", -1), ("device", "gpu"), ("dtype", "float16"), ("context_level", 2)):
        with pytest.raises(WorldsimError, match=f"{name} was {value!r}"):
            TwinEnv("toy/dodge", **{name: value})  # type: ignore[arg-type]


def test_any_game_with_our_controls_has_a_twin(tiny_world_path: Path) -> None:
    with pytest.raises(EnvError, match=r"frames \(H, W\) of the game are \(40, 64\), of the world 'test/tiny' \(32, 48\)"):
        TwinEnv(Walker((40, 64)), world=tiny_world_path)
    env = TwinEnv(Walker((32, 48)), world=World.load(tiny_world_path, device="cpu"), obs="latent", actions="flat", horizon=3)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    steps = [env.step(np.array([2, 0, 0]))[1:4] for _ in range(3)]
    assert steps == [(1.0, False, False), (1.0, False, False), (1.0, False, True)]


class Walker(gymnasium.Env[Any, Any]):
    """Pays 1 for "d", in a room as grey as it has lasted."""

    control_spec, fps, frame_skip = TINY_SPEC, 17.5, 2

    def __init__(self, size: tuple[int, int]) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (*size, 3), np.uint8)
        self.action_space = TINY_SPEC.action_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._frame = np.zeros(self.observation_space.shape or (), np.uint8)
        return self._frame, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._frame += np.uint8(9)
        return self._frame, float(TINY_SPEC.from_action(action)[1]), False, False, {}


class Bare(gymnasium.Env[Any, Any]):
    observation_space, action_space = gymnasium.spaces.Box(0, 1, (4,)), gymnasium.spaces.Discrete(2)


class Float(Walker):
    def __init__(self) -> None:
        super().__init__((32, 48))
        self.observation_space = gymnasium.spaces.Box(0, 1, (32, 48, 3))


class Buttons(Walker):
    def __init__(self) -> None:
        super().__init__((32, 48))
        self.action_space = gymnasium.spaces.Discrete(4)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (Bare, "the game given has no attribute 'control_spec'; describe it with a GameSpec"),
        (Float, r"observations of the game given are Box\(0.0, 1.0, \(32, 48, 3\), float32\); they must be RGB frames, uint8"),
        (Buttons, r"actions of the game given are Discrete\(4\); they must be control_spec.action_space\(\), Dict"),
        (object, "the game given is object; give a gymnasium.Env, a GameSpec or the name of a game"),
    ],
)
def test_what_is_no_game_is_refused_in_one_line(game: Any, message: str, tiny_world_path: Path) -> None:
    for options in ({}, {"world": tiny_world_path}):
        with pytest.raises(GameError, match=message):
            TwinEnv(game(), **options)  # type: ignore[arg-type]


@needs_doom
def test_wrong_options(tiny_world_path: Path) -> None:
    with pytest.raises(EnvError, match=r"give a game or a world; games: doom/take-cover"):
        TwinEnv()
    with pytest.raises(EnvError, match=r"obs='latent' needs a tokenizer; give the world"):
        TwinEnv(TAKE_COVER, obs="latent")
    unknown = r"'test/tiny' was learned from the game 'test/tiny', which is not registered; pass its GameSpec, its file"
    with pytest.raises(GameError, match=unknown):
        TwinEnv(world=tiny_world_path)
    with pytest.raises(GameError, match="RES_96X64, which does not exist"):
        TwinEnv(TAKE_COVER, world=tiny_world_path)
