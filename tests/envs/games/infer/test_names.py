"""Names of actions, wherever an environment tells them."""

from __future__ import annotations

import enum
import types
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.envs.games.infer import names as module
from worldsim.envs.games.infer.controls import from_names, wire
from worldsim.envs.games.infer.names import action_names, documented, rests

LISTED = """Fly it home.

## Action Space
There are four discrete actions available:
- 0: do nothing
- 1: fire left orientation engine
- 2: fire main engine
- 3: fire right orientation engine

## Observation Space
"""
TABLE = """
| Num | Action                                | Unit         |
|-----|---------------------------------------|--------------|
| 0   | apply -1 torque to the actuated joint | torque (N m) |
| 1   | apply 0 torque to the actuated joint  | torque (N m) |
| 2   | apply 1 torque to the actuated joint  | torque (N m) |
"""
OBSERVED = """Takes actions.

## Observation Space

- 0: place of the cart
- 1: speed of the cart
"""


class Fake(gymnasium.Env[np.ndarray, Any]):
    """An environment that is only asked for its actions."""

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.action_space = space


class Documented(Fake):
    __doc__ = LISTED


def test_docstrings_list_actions() -> None:
    assert documented(LISTED, 4)[1:3] == ["fire left orientation engine", "fire main engine"]
    assert documented(TABLE, 3) == [f"apply {number} torque to the actuated joint" for number in (-1, 0, 1)]
    assert documented("The actions are\n\n  0 = wait.\n  1 = `jump`. It takes a while.", 2) == ["wait", "jump"]


@pytest.mark.parametrize("text", ["", OBSERVED, LISTED.replace("- 2", "- 5"), "Actions:\n- 0: left"])
def test_other_lists_name_no_actions(text: str) -> None:
    assert documented(text, 2) == []


def test_a_docstring_makes_controls() -> None:
    wiring = wire(Documented(gymnasium.spaces.Discrete(4)))
    assert wiring.spec.keys == ("a", "space", "d") and wiring.rest == "do nothing" and "docstring" in wiring.origin
    assert wiring.actions(Controls()) == 0 and wiring.meanings["space"] == "fire main engine"


def test_an_enum_may_have_more_members_than_there_are_actions() -> None:
    env = Fake(gymnasium.spaces.Discrete(3))
    Actions = enum.IntEnum("Actions", ["left", "right", "forward", "pickup"], start=0)
    setattr(env, "actions", Actions)  # noqa: B010
    assert action_names(env, 3) == (["left", "right", "forward"], "names of actions")


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ({"STAY": 0, "LEFT": 1, "RIGHT": 2, "COLUMNS": 1, "ENEMY": 0}, ["STAY", "LEFT", "RIGHT"]),
        ({"NOOP": 0, "STAY": 0, "MOVE_LEFT": 1, "MOVE_RIGHT": 2}, ["NOOP", "MOVE_LEFT", "MOVE_RIGHT"]),
        ({"UP": 0, "RIGHT": 1, "DOWN": 2, "LEFT": 3}, []),  # directions of something, since there are three actions
        ({"UP": 0, "NORTH": 0, "RIGHT": 1, "DOWN": 2}, []),
        ({"left": 0, "right": 1, "up": 2}, []),
        ({"ACTIONS": ("wait", "up", "down")}, ["wait", "up", "down"]),
    ],
)
def test_constants_of_a_module_count_where_there_is_one_for_every_action(
    told: dict[str, Any], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = types.ModuleType("own_game")
    vars(place).update(told)
    monkeypatch.setitem(module.sys.modules, "own_game", place)
    kind = type("Game", (Fake,), {"__module__": "own_game"})
    assert action_names(kind(gymnasium.spaces.Discrete(3)), 3)[0] == names


@pytest.mark.parametrize(
    ("name", "does_nothing"),
    [("no operation", True), ("Don't accelerate", True), ("do nothing", True), ("NOOP", True), ("no", False), ("do", False),
     ("nor", False), ("IDLE", True), ("push left", False)],
)  # fmt: skip
def test_names_tell_whether_an_action_does_nothing(name: str, does_nothing: bool) -> None:
    assert rests(name) == does_nothing


def test_combinations_of_named_buttons_are_split() -> None:
    held = from_names(["noop", "MOVE_LEFT", "ATTACK", "MOVE_LEFT+ATTACK"])
    assert held == {(): 0, ("a",): 1, ("space",): 2, ("a", "space"): 3}


def test_words_that_all_names_share_give_no_keys() -> None:
    assert list(from_names(documented(TABLE, 3))) == [("1",), ("2",), ("3",)]
    assert list(from_names(["Stick", "Hit"])) == [("t",), ("h",)]


@pytest.mark.parametrize(("pressed", "keys"), [(1, {"a", "d", "space"}), (2, {"a", "d", "space"}), (0, {"a", "d", "space"})])
def test_buttons_of_vizdoom_have_names(pressed: int, keys: set[str]) -> None:
    pytest.importorskip("vizdoom.gymnasium_wrapper")
    env = gymnasium.make("vizdoom.gymnasium_wrapper:VizdoomBasic-v1", max_buttons_pressed=pressed)
    wiring = wire(env)
    buttons = [button.name for button in env.unwrapped.game.get_available_buttons()]  # type: ignore[attr-defined]
    env.close()
    assert set(wiring.spec.keys) == keys and wiring.origin == "names of buttons"
    action = wiring.actions(Controls(keys={"a"}))
    row = env.unwrapped.button_map[action] if pressed else action  # type: ignore[attr-defined]
    assert [name for name, on in zip(buttons, row, strict=True) if on] == ["MOVE_LEFT"]
    assert not np.any(env.unwrapped.button_map[wiring.actions(Controls())] if pressed else wiring.actions(Controls()))  # type: ignore[attr-defined]
