"""Games as specs: what a spec says holds, a stranger's game works as ours do, and what does not fit is refused at once."""

from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.controls import Controls, ControlSpec
from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import (
    GAMES,
    Bar,
    Game,
    GameSpec,
    ObjectClass,
    find_game,
    known_game,
    make,
    make_policy,
    register,
)
from worldsim.envs.games.dodge import DODGE
from worldsim.envs.twin import TwinEnv
from worldsim.errors import ControlError, GameError


@pytest.fixture(params=GAMES)
def game(request: pytest.FixtureRequest) -> GameSpec:
    if request.param.startswith("doom/"):
        pytest.importorskip("vizdoom")
    return GAMES[request.param]


def test_a_game_is_what_its_spec_says(game: GameSpec) -> None:
    options: dict[str, Any] = {"objects": True} if "objects" in game.options else {}
    env = game.start(**options)
    frame, info = env.reset(seed=0)
    assert frame.shape == (game.height, game.width, 3)
    assert env.get_wrapper_attr("control_spec") == game.control_spec
    assert (env.get_wrapper_attr("fps"), env.get_wrapper_attr("frame_skip")) == (game.fps, game.frame_skip)
    assert all(isinstance(info[name], float) for name in game.states)
    over, seen = False, set()
    policy = make_policy(next(iter(game.policies)), game.control_spec)
    if hasattr(policy, "attach"):
        policy.attach(env)
    policy.reset(np.random.default_rng(0))
    while not over:
        _, reward, terminated, truncated, info = env.step(game.control_spec.to_action(policy.act({**info, "frame": frame})))
        over = terminated or truncated
        seen |= {name for name, *_ in info.get("objects", ())}
        assert game.best_reward is None or float(reward) <= game.best_reward * game.frame_skip
    env.close()
    assert terminated or (game.max_tics is not None and info["tics"] >= game.max_tics)
    assert {name for kind in game.object_classes().values() for name in kind.names} <= seen


def test_specs_go_to_other_processes(game: GameSpec) -> None:
    again = pickle.loads(pickle.dumps(game))
    assert (again.name, again.control_spec, again.axes, again.options) == (game.name, game.control_spec, game.axes, game.options)


# A stranger's game, as plain as Gymnasium allows: it says nothing of controls, rate or skip.
SPEC = ControlSpec(keys=("up", "down"))


class Plain(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(0, 255, (16, 32, 3), np.uint8)
    action_space = SPEC.action_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._level = int(self.np_random.integers(9))
        return self._draw(), {"level": self._level}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        up, down = SPEC.from_action(action)
        self._level += int(up) - int(down)
        return self._draw(), 0.5, self._level < 0, self._level > 12, {"level": self._level}

    def _draw(self) -> np.ndarray:
        return np.full((16, 32, 3), 10 * max(self._level, 0), np.uint8)


def push(spec: ControlSpec) -> Any:
    return make_policy("restless", spec)


PLAIN = GameSpec(
    name="mine/plain",
    make="envs.games.test_spec:Plain",
    control_spec=SPEC,
    height=16,
    width=32,
    fps=12.5,
    frame_skip=3,
    states=("level",),
    cells={"level": 2.0},
    policies={"envs.games.test_spec:push": 1.0},
)
HERE = "envs.games.test_spec:PLAIN"


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.usefixtures("at_root")
def test_a_game_of_ones_own_is_found_by_its_path_or_by_its_name() -> None:
    assert find_game(PLAIN) is PLAIN and find_game("toy/dodge") is DODGE
    assert find_game(HERE).name == "mine/plain"
    assert known_game("mine/plain") is None and known_game(None) is None
    register(PLAIN)
    try:
        assert find_game("mine/plain") is PLAIN
    finally:
        del GAMES["mine/plain"]
    env = make(HERE)
    assert env.get_wrapper_attr("fps") == 12.5 and env.get_wrapper_attr("frame_skip") == 3
    assert env.get_wrapper_attr("control_spec") == SPEC


def first_level(game: str | GameSpec) -> int:
    env = make(game)
    return int(env.reset(seed=3)[1]["level"])


@pytest.mark.usefixtures("at_root")
def test_child_processes_find_a_game_of_ones_own() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        games: list[str | GameSpec] = [PLAIN, HERE]
        levels = pool.map(first_level, games)
    assert levels == [first_level(PLAIN)] * 2


@pytest.mark.usefixtures("at_root")
def test_a_game_of_ones_own_is_recorded_with_its_states(tmp_path: Path) -> None:
    (name,) = PLAIN.policies
    sources = [PolicySource(name, partial(make_policy, name, SPEC))]
    about: dict[str, Any] = {"game": PLAIN.name, "state": PLAIN.states, "cells": PLAIN.cells, "progress": False}
    figures = collect(PLAIN.start, sources, tmp_path, frames=60, lossless=True, **about)
    dataset = Dataset(tmp_path)
    assert (dataset.info.game, dataset.info.frame_skip, dataset.fps) == ("mine/plain", 3, 12.5)
    assert np.array_equal(dataset.frames(0)[:, 0, 0, 0], 10 * dataset.rows.states[: dataset.lengths[0], 0])
    assert figures["cells"] == {"visited": len(np.unique(dataset.rows.states // 2)), "size": {"level": 2.0}}


@pytest.mark.usefixtures("at_root")
def test_a_twin_of_a_game_of_ones_own(tmp_path: Path) -> None:
    games: list[str | GameSpec | Game] = [PLAIN, HERE, PLAIN.start()]
    for game in games:
        env = TwinEnv(game, actions="flat")
        assert env.fps == 12.5 and env.frame_skip == 3
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../other"}, r"name was '../other'; give 'game' or 'family/game'"),
        ({"height": 100}, r"height of the game mine/plain was 100; give a multiple of 16 pixels"),
        ({"width": 0}, r"width of the game mine/plain was 0; give a multiple of 16"),
        ({"fps": 0.0}, r"fps of the game mine/plain was 0.0; give steps per second, above 0"),
        ({"objects": {"ball": ()}}, r"the names of a class of objects were \(\); give a tuple of at least one"),
        ({"objects": {"ball": "ball"}}, r"the names of a class of objects were 'ball'; give a tuple"),
        ({"frame_skip": 0}, r"frame_skip .* was 0; give a whole number of at least 1"),
        ({"max_tics": 0}, r"max_tics .* was 0; give a whole number of at least 1, or None"),
        ({"make": 3}, r"make .* was 3; give a function that makes the game"),
        ({"policies": {}}, r"policies .* at least one, each with a share above 0"),
        ({"meanings": {"upp": "jump"}}, r"meanings .* name 'upp'; there are: up, down. Did you mean 'up'\?"),
        ({"cells": {"x": 1.0}}, r"cells .* name 'x'; there are: level"),
        ({"cells": {"level": 0.0}}, r"cells .* give sizes above 0"),
        ({"cells": {"level": "wide"}}, r"cells .* give sizes above 0"),
        ({"cells": ["level"]}, r"cells .* give a dict"),
        ({"meanings": "left"}, r"meanings .* give a dict"),
        ({"policies": ["random"]}, r"policies .* such as {'random': 1.0}"),
        ({"policies": {"random": "often"}}, r"policies .* at least one, each with a share above 0"),
        ({"fps": "fast"}, r"fps of the game mine/plain was 'fast'; give steps per second, above 0"),
        ({"axes": ((),)}, r"axes .* at least one option on each"),
    ],
)
def test_a_wrong_spec_is_refused_when_it_is_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GameError, match=message):
        replace(PLAIN, **changes)


def test_classes_of_objects_are_names_alone_or_with_heights() -> None:
    near = ObjectClass(("imp",), (0.2, 1.0))
    spec = replace(PLAIN, objects={"ball": ("ball", "fire"), "near": near})
    assert spec.object_classes() == {"ball": ObjectClass(("ball", "fire"), (0.0, 1.0)), "near": near}


def test_sizes_may_be_numpy_integers() -> None:
    spec = replace(PLAIN, height=np.int64(32), frame_skip=np.int32(2), max_tics=np.uint8(100))
    assert (spec.height, spec.frame_skip, spec.max_tics) == (32, 2, 100)
    assert type(spec.height) is type(spec.frame_skip) is type(spec.max_tics) is int


def test_axes_name_controls_of_the_game() -> None:
    with pytest.raises(ControlError, match="unknown key 'a'; allowed: up, down"):
        replace(PLAIN, axes=((Controls(), Controls(keys={"a"})),))
    with pytest.raises(GameError, match="the bar was 'median' above"):
        Bar("a score", 1.0, "median")
    for heights in ((0.2, 0.2), (-0.1, 1.0), (0.0, 1.1)):
        with pytest.raises(GameError, match=r"the heights of a class of objects were .*; give two shares from 0 to 1"):
            ObjectClass(("imp",), heights)


class Tall(Plain):
    observation_space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)


class Jumps(Plain):
    action_space = gymnasium.spaces.Discrete(4)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("make", "overrides", "message"),
    [
        (
            Tall,
            {},
            r"observations of the game mine/plain are Box.*\(32, 32, 3\).*; they must be RGB .* of shape \(16, 32, 3\)",
        ),
        (Jumps, {}, r"actions of the game mine/plain are Discrete\(4\); they must be control_spec.action_space\(\)"),
        (dict, {}, r"the game mine/plain is dict; make has to return a gymnasium.Env"),
        (Plain, {"frame_skip": 4}, r"mine/plain has no option 'frame_skip'; it has: none"),
        (Plain, {"frame_skip": 3, "lives": 2}, r"mine/plain has no option 'lives'; it has: none"),
        ("nowhere:Plain", {}, r"nowhere:Plain cannot be loaded: No module named 'nowhere'"),
        ("math:Plain", {}, r"math:Plain cannot be loaded: math has no attribute 'Plain'"),
        ("Plain", {}, r"'Plain' is no import path; give 'module:attribute'"),
    ],
)
def test_a_game_that_does_not_fit_its_spec_is_refused(make: Any, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(GameError, match=message):
        replace(PLAIN, make=make).start(**overrides)


def test_unknown_games_and_policies() -> None:
    with pytest.raises(GameError, match=r"unknown game 'toy/doge'; choose from: .* Did you mean 'toy/dodge'\?"):
        find_game("toy/doge")
    with pytest.raises(GameError, match="math:pi is float; it must be a GameSpec"):
        find_game("math:pi")
    with pytest.raises(GameError, match=r"game was 3; give a name, 'module:attribute' or a GameSpec"):
        find_game(3)  # type: ignore[arg-type]
    with pytest.raises(GameError, match=r"unknown policy 'randm'; choose from: .* Did you mean 'random'\?"):
        make_policy("randm", SPEC)
