"""Environments that are opened for the first time, and those that are refused."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.envs.games.infer.opening import (
    Source,
    fps_of,
    frame_skip_of,
    open_source,
    parse_options,
    picture_source,
    with_defaults,
)
from worldsim.envs.games.old_gym import OldGym
from worldsim.errors import GameError

HERE = "envs.games.infer.test_opening"
BOX = gymnasium.spaces.Box


class Shown(gymnasium.Env[Any, Any]):
    """Shows what its observation space says, or renders."""

    observation_space: gymnasium.Space[Any] = BOX(0, 255, (40, 48, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: int) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}

    def render(self) -> Any:
        return np.full((64, 80, 3), 9, np.uint8)


class Numbers(Shown):
    observation_space = gymnasium.spaces.Discrete(5)


class Blind(Numbers):
    metadata = {"render_modes": ["human"]}  # noqa: RUF012


class Screenless(Numbers):
    def render(self) -> Any:
        raise RuntimeError("could not open display :0\nand more lines")


class Tiny(Numbers):
    def render(self) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


class Many(Numbers):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012

    def render(self) -> Any:
        return [np.zeros((64, 80, 3), np.uint8), np.full((64, 80, 3), 5, np.uint8)]


class FourValues(Shown):
    def step(self, action: int) -> Any:
        return self.observation_space.sample(), 0.0, False, {}


class OldReset(Shown):
    def reset(self, **options: Any) -> Any:
        return self.observation_space.sample()


class Alien:
    def reset(self) -> Any: ...

    def step(self, action: int) -> Any: ...


class NoReward(Shown):
    def step(self, action: int) -> Any:
        return self.observation_space.sample(), None, False, False, {}


class Unseeded(Shown):
    def reset(self) -> Any:  # type: ignore[override]
        return self.observation_space.sample(), {}


class OldRender(Numbers):
    def __init__(self) -> None:
        super().__init__()


class Wordy(Shown):
    action_space = gymnasium.spaces.Text(5)  # type: ignore[assignment]

    def step(self, action: Any) -> Any:
        return super().step(int(action))


class Unrendered(Numbers):
    def render(self) -> Any:
        return None


gymnasium.register("OwnShown-v0", f"{HERE}:Shown")


class NoSuchDisplayException(Exception): ...


def needs_a_screen() -> None:
    raise NoSuchDisplayException('Cannot connect to "None"')


def fails() -> None:
    raise ImportError("No module named 'pyglet'")


def lacks_a_part() -> None:
    raise ModuleNotFoundError("No module named 'numba'", name="numba")


def number() -> int:
    return 3


@pytest.mark.parametrize(
    ("space", "source"),
    [
        (BOX(0, 255, (40, 48, 3), np.uint8), "observation"),
        (BOX(0, 255, (40, 48), np.uint8), "observation"),
        (BOX(0, 255, (3, 40, 48), np.uint8), "observation"),
        (BOX(0, 255, (40, 48, 4), np.uint8), "observation"),
        (BOX(0, 1, (40, 48, 3), np.float32), "observation"),
        (BOX(-1, 1, (40, 48, 3), np.float32), ""),
        (BOX(0, 255, (7, 7, 3), np.uint8), ""),
        (BOX(0, 255, (40, 48, 2), np.uint8), ""),
        (BOX(-5, 5, (4,), np.float32), ""),
        (gymnasium.spaces.Discrete(500), ""),
        (gymnasium.spaces.Dict(speed=BOX(0, 1, (2,)), view=BOX(0, 255, (40, 48, 3), np.uint8)), "observation:view"),
        (gymnasium.spaces.Dict(image=BOX(0, 255, (7, 7, 3), np.uint8)), ""),
    ],
)
def test_pictures_are_found_among_observations(space: gymnasium.Space[Any], source: str) -> None:
    assert picture_source(space) == source


def test_what_shows_a_picture_is_taken_as_it_is() -> None:
    source, env, seen = open_source(Source(f"{HERE}:Shown"))
    assert seen == "observation" and not source.rendered and fps_of(env) == 12
    env.close()


@pytest.mark.parametrize("name", ["Numbers", "Many"])
def test_what_shows_none_is_rendered(name: str) -> None:
    source, env, seen = open_source(Source(f"{HERE}:{name}"))
    assert seen == "render" and source.rendered and env.render_mode == "rgb_array"
    env.close()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (f"{HERE}:Blind", "no picture, and has no render_mode 'rgb_array'"),
        (f"{HERE}:Screenless", "could not open display :0. It needs a screen: run the command under xvfb-run"),
        (f"{HERE}:Tiny", "8x8 pixels"),
        (f"{HERE}:FourValues", "step.. of .* gives 4 values.*--old-gym"),
        (f"{HERE}:OldReset", "--old-gym"),
        (f"{HERE}:Alien", "--old-gym"),
        (f"{HERE}:number", "makes an int; give what makes a gymnasium.Env"),
        (f"{HERE}:HERE", "is a str; give the class or the function"),
        (f"{HERE}:NoReward", "the reward None; it must be a finite number"),
        (f"{HERE}:Unseeded", "reset.self, ., seed=None, options=None"),
        (f"{HERE}:OldRender", "takes no keyword render_mode"),
        (f"{HERE}:Unrendered", "render.. of .* gives nothing; with render_mode='rgb_array'"),
        (f"{HERE}:Wordy", "keys and mouse cannot give"),
        (f"{HERE}:lacks_a_part", "Install what it needs: numba"),
        (f"{HERE}:OwnShow-v0", f"{HERE} registers: OwnShown-v0"),
        ("own/game.py", "is a file; give what makes the environment in it, too: own/game.py:NAME"),
        ("nowhere:NoSuchGame-v0", "run the command in the folder of the module, or install it"),
        (f"{HERE}:needs_a_screen", "run the command under xvfb-run"),
        (f"{HERE}:fails", "cannot be made: ImportError"),
        (f"{HERE}:Missing", "cannot be loaded"),
        ("nowhere:Missing", "No module named"),
        ("NoSuchGame-v0", "Check the name"),
        ("Nowhere/NoSuchGame-v0", "Check the name, or put the module that registers it in front"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(env: str, said: str) -> None:
    with pytest.raises(GameError, match=said) as caught:
        open_source(Source(env))
    assert "\n" not in str(caught.value)


def test_old_environments_are_opened_on_request() -> None:
    pytest.importorskip("crafter")
    source, env, seen = open_source(Source("crafter:Env", old_gym=True))
    assert seen == "observation" and isinstance(env.unwrapped, OldGym)
    assert fps_of(env) is None and frame_skip_of(env) == 1 and not source.registered
    first, again = (env.reset(seed=3)[0] for _ in range(2))
    assert (first == again).all(), "equal seeds give equal episodes"


def test_ids_name_the_module_that_registers_them() -> None:
    assert Source("ALE/Pong-v5").id == "ale_py:ALE/Pong-v5"
    assert Source("MiniGrid-Empty-5x5-v0").id == "minigrid:MiniGrid-Empty-5x5-v0"
    assert Source("CartPole-v1").id == "CartPole-v1" and Source("mine:Game-v0").id == "mine:Game-v0"
    assert Source("CartPole-v1").registered and not Source("crafter:Env").registered
    assert Source("tetris.envs:tetris/Tetris").registered and not Source("tetris.envs:Tetris").registered
    assert Source("own/game.py:Game").in_file and not Source("own:Game").in_file and not Source("own:Game-v0").in_file


def test_ids_of_the_old_gym_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    registration = types.ModuleType("gym.envs.registration")
    registration.registry = {"Sokoban-v0": None}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gym.envs.registration", registration)
    with pytest.raises(GameError, match=r"registered with the old Gym; .*--env gym:make") as caught:
        Source("json:Sokoban-v0").make()
    assert json.loads(str(caught.value).rsplit("'", 2)[1]) == {"id": "json:Sokoban-v0", "disable_env_checker": True}
    with pytest.raises(GameError, match="old_gym was set; give the class"):
        Source("CartPole-v1", old_gym=True).make()


def test_consoles_obey_at_once_unless_told_otherwise() -> None:
    source, (note,) = with_defaults(Source("ALE/Pong-v5"))
    assert source.options == {"repeat_action_probability": 0.0} and "0.25" in note
    given = Source("ALE/Pong-v5", {"repeat_action_probability": 0.25})
    assert with_defaults(given) == (given, []) and with_defaults(Source("CartPole-v1"))[1] == []


def test_the_rate_of_a_console_comes_from_its_frame_skip() -> None:
    pytest.importorskip("ale_py")
    for options, fps in (({}, 15), ({"frameskip": 2}, 30)):
        env = Source("ALE/Pong-v5", options).make()
        assert env.metadata["render_fps"] == 30, "which no game runs at"
        assert fps_of(env) == fps and frame_skip_of(env) == 60 / fps
    with pytest.raises(GameError, match="frameskip"):
        frame_skip_of(Source("ALE/Pong-v5", {"frameskip": (2, 5)}).make())


def test_options_are_json() -> None:
    assert parse_options('{"size": 8}') == {"size": 8}
    for text in ("size=8", "[1]", "{"):
        with pytest.raises(GameError, match="options was"):
            parse_options(text)
