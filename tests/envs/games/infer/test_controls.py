"""Controls found for environments' actions."""

from __future__ import annotations

import enum
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.any import Keyed, Lever, Stacked
from worldsim.envs.games.infer.controls import (
    Wiring,
    exclusive_groups,
    from_names,
    key_name,
    keys_to_action,
    resting_action,
    wire,
)
from worldsim.errors import ControlError, GameError

FULL = {  # ALE's 18 actions
    ("e",): 0, (" ",): 1, ("w",): 2, ("d",): 3, ("a",): 4, ("s",): 5, ("w", "d"): 6, ("w", "a"): 7, ("s", "d"): 8,
    ("s", "a"): 9, ("w", " "): 10, ("d", " "): 11, ("a", " "): 12, ("s", " "): 13, ("w", "d", " "): 14, ("w", "a", " "): 15,
    ("s", "d", " "): 16, ("s", "a", " "): 17,
}  # fmt: skip
MEANINGS = [
    "NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT", "UPFIRE", "RIGHTFIRE",
    "LEFTFIRE", "DOWNFIRE", "UPRIGHTFIRE", "UPLEFTFIRE", "DOWNRIGHTFIRE", "DOWNLEFTFIRE",
]  # fmt: skip


class Fake(gymnasium.Env[np.ndarray, Any]):
    """An environment that is only asked for its actions."""

    def __init__(self, space: gymnasium.Space[Any], **told: Any) -> None:
        self.action_space = space
        for name, value in told.items():
            setattr(self, name, value)


def discrete(count: int, **told: Any) -> Fake:
    return Fake(gymnasium.spaces.Discrete(count), **told)


def test_combinations_are_split_into_five_keys() -> None:
    wiring = wire(discrete(18, get_keys_to_action=lambda: FULL, get_action_meanings=lambda: MEANINGS))
    assert set(wiring.spec.keys) == {"space", "w", "a", "s", "d"}
    assert sorted(map(sorted, wiring.spec.exclusive)) == [["a", "d"], ["s", "w"]]
    assert wiring.actions(Controls()) == 0
    assert wiring.actions(Controls(keys={"w", "d", "space"})) == 14
    assert dict(wiring.meanings) == {"space": "fire", "w": "up", "s": "down", "a": "left", "d": "right"}


def test_names_of_joysticks_are_split_as_well() -> None:
    wiring = wire(discrete(18, get_action_meanings=lambda: MEANINGS))
    assert set(wiring.spec.keys) == {"space", "w", "a", "s", "d"} and wiring.origin == "names of actions"
    assert wiring.actions(Controls()) == 0
    assert wiring.actions(Controls(keys={"s", "a", "space"})) == 17


@pytest.mark.parametrize(
    ("given", "name"),
    [("w", "w"), (" ", "space"), ("W", "w"), (97, "a"), (32, "space"), (1073741904, "left"), (276, "left"), (273, "up"),
     (13, "return"), ("enter", "return"), (1073742049, "shift"), ("F1", None), (1073741882, None)],
)  # fmt: skip
def test_keys_have_our_names(given: Any, name: str | None) -> None:
    assert key_name(given) == name


def test_codes_of_old_and_new_pygame_are_understood() -> None:
    env = discrete(3, get_keys_to_action=lambda: {(): 1, (276,): 0, (275,): 2, (275, 276): 1})  # MountainCar
    wiring = wire(env)
    assert wiring.spec.keys == ("left", "right") and wiring.actions(Controls()) == 1
    assert wiring.actions(Controls(keys={"right"})) == 2


def test_keys_that_nobody_has_are_not_used() -> None:
    assert keys_to_action(discrete(2, get_keys_to_action=lambda: {("F1",): 0, ("F2",): 1}), 2) == {}
    assert wire(discrete(2, get_keys_to_action=lambda: {("F1",): 0, ("F2",): 1})).spec.keys == ("1", "2")
    assert keys_to_action(discrete(3, get_keys_to_action=lambda: {("a",): 0}), 3) == {}, "some actions would have no key"


def test_names_become_keys_by_their_words() -> None:
    names = ["noop", "move_left", "move_right", "move_up", "move_down", "do", "sleep", "place_stone"]
    wiring = wire(discrete(8, action_names=names))
    assert wiring.spec.keys == ("a", "d", "w", "s", "space", "l", "t") and wiring.spec.exclusive == (wiring.spec.keys,)
    assert wiring.actions(Controls()) == 0 and wiring.meanings["l"] == "sleep" and wiring.meanings["t"] == "place stone"


def test_enums_tell_names() -> None:
    class Actions(enum.IntEnum):
        left = 0
        right = 1
        forward = 2
        done = 3

    wiring = wire(discrete(4, actions=Actions), still=[3])
    assert wiring.spec.keys == ("a", "d", "w") and wiring.actions(Controls()) == 3


def test_without_names_actions_are_numbers_and_the_game_waits() -> None:
    wiring = wire(discrete(2))
    assert wiring.spec.keys == ("1", "2") and wiring.actions(Controls()) is None
    assert "--rest" in wiring.notes[0]
    assert [wiring.actions(Controls(keys={key})) for key in ("1", "2")] == [0, 1]


def test_rest_can_be_named_and_is_found_by_its_effect() -> None:
    assert wire(discrete(4), rest=2).spec.keys == ("1", "2", "4")
    assert wire(discrete(4), rest=2).actions(Controls()) == 2
    assert wire(discrete(4), still=[1]).actions(Controls()) == 1
    with pytest.raises(GameError, match="rest was 4"):
        wire(discrete(4), rest=4)


def test_of_actions_that_do_nothing_the_one_of_no_use_is_rest() -> None:
    names = ["left", "pickup", "done"]
    assert resting_action(from_names(names), names, [1, 2]) == 2
    assert resting_action({("a",): 0}, [], []) is None


def test_a_space_may_begin_elsewhere_than_at_0() -> None:
    wiring = wire(Fake(gymnasium.spaces.Discrete(3, start=-1)), rest=-1)
    assert [wiring.actions(Controls(keys=keys)) for keys in (set(), {"2"}, {"3"})] == [-1, 0, 1]


def test_keys_never_held_together_exclude_each_other() -> None:
    assert exclusive_groups([{"a"}, {"d"}, {"a", "x"}, {"d", "x"}], "adx") == (("a", "d"),)
    assert exclusive_groups([{"a"}, {"b"}, {"c"}], "abc") == (("a", "b", "c"),)
    assert exclusive_groups([{"a", "b"}], "ab") == ()


def test_buttons_of_a_multi_binary_space_are_free() -> None:
    wiring = wire(Fake(gymnasium.spaces.MultiBinary(3)))
    assert wiring.spec == ControlSpec(keys=("1", "2", "3"))
    assert wiring.actions(Controls(keys={"1", "3"})).tolist() == [1, 0, 1]
    named = wire(Fake(gymnasium.spaces.MultiBinary(2), action_names=["left", "jump"]))
    assert named.spec.keys == ("a", "space") and named.actions(Controls(keys={"space"})).tolist() == [0, 1]


def test_choices_of_a_multi_discrete_space_exclude_each_other() -> None:
    space = gymnasium.spaces.MultiDiscrete([3, 2])
    wiring = wire(Fake(space))
    assert wiring.spec.keys == ("1", "2", "3") and wiring.spec.exclusive == (("1", "2"),)
    action = wiring.actions(Controls(keys={"2", "3"}))
    assert action.tolist() == [2, 1] and space.contains(action)


@pytest.mark.parametrize(
    ("space", "rest", "held"),
    [
        (gymnasium.spaces.MultiBinary((2, 2)), [[0, 0], [0, 0]], [[0, 1], [0, 0]]),
        (gymnasium.spaces.MultiDiscrete([2, 2, 2]), [0, 0, 0], [0, 1, 0]),
        (gymnasium.spaces.MultiDiscrete([3, 3], start=[-1, 4]), [0, 4], [1, 4]),
        (gymnasium.spaces.Box(-1, 1, (2,), np.int64), [0, 0], [1, 0]),
    ],
)
def test_entries_of_whole_numbers_rest_at_0_or_their_first_choice(space: Any, rest: list[Any], held: list[Any]) -> None:
    wiring = wire(Fake(space))
    for keys, action in ((set(), rest), ({"2"}, held)):
        given = wiring.actions(Controls(keys=keys))
        assert given.tolist() == action and space.contains(given)


def test_axes_go_to_the_mouse_if_symmetric_and_to_keys_if_one_sided() -> None:
    space = gymnasium.spaces.Box(np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32))  # CarRacing
    wiring = wire(Fake(space))
    assert wiring.spec == ControlSpec(keys=("w", "s"), mouse_limit=(10.0, 0.0))
    action = wiring.actions(Controls(keys={"w"}, mouse=(-5.0, 0)))
    assert action.tolist() == [-0.5, 1, 0] and space.contains(action)
    assert wiring.actions(Controls()).tolist() == [0, 0, 0]


def test_further_axes_get_pairs_of_keys() -> None:
    space = gymnasium.spaces.Box(-2, 2, (4,), np.float32)
    wiring = wire(Fake(space))
    assert wiring.spec.mouse_limit == (10.0, 10.0) and wiring.spec.exclusive == (("a", "d"), ("s", "w"))
    assert wiring.actions(Controls(keys={"d", "s"}, mouse=(10, -10))).tolist() == [2, -2, 2, -2]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(2)), "keys and mouse cannot give"),
        (gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32), "ClipAction"),
        (gymnasium.spaces.Box(0, 1, (30,), np.float32), "30 axes"),
        (gymnasium.spaces.Box(-(2**63), 2**62, (2,), np.int64), "more than 36 keys"),
        (gymnasium.spaces.Discrete(60), "60 actions"),
        (gymnasium.spaces.MultiBinary(60), "60 buttons"),
        (gymnasium.spaces.MultiDiscrete([30, 30]), "more than"),
        (gymnasium.spaces.Text(5), "keys and mouse cannot give"),
    ],
)
def test_actions_that_cannot_be_given_are_refused(space: gymnasium.Space[Any], said: str) -> None:
    with pytest.raises(GameError, match=said):
        wire(Fake(space))


def test_keys_can_be_renamed_and_explained() -> None:
    wiring = wire(discrete(18, get_keys_to_action=lambda: FULL)).renamed({"w": "up", "s": "down"}).meaning({"up": "fly"})
    assert {"up", "down"} <= set(wiring.spec.keys) and ("up", "down") in wiring.spec.exclusive
    assert wiring.actions(Controls(keys={"up", "d", "space"})) == 14 and wiring.meanings == {"up": "fly"}
    swapped = wiring.renamed({"a": "d", "d": "a"})
    assert swapped.actions(Controls(keys={"a"})) == 3
    for wrong in ({"x": "y"}, {"a": "d"}, {"a": "F1"}):
        with pytest.raises(ControlError):
            wiring.renamed(wrong)
    with pytest.raises(ControlError, match="meanings"):
        wiring.meaning({"x": "nothing"})


def test_keys_that_do_nothing_can_be_left_out() -> None:
    wiring = wire(discrete(18, get_keys_to_action=lambda: FULL, get_action_meanings=lambda: MEANINGS)).without(("space", "s"))
    assert set(wiring.spec.keys) == {"w", "a", "d"} and wiring.spec.exclusive == (("d", "a"),)
    assert wiring.actions(Controls(keys={"w", "d"})) == 6 and set(wiring.meanings) == {"w", "a", "d"}


def test_levers_can_be_renamed() -> None:
    wiring = wire(Fake(gymnasium.spaces.Box(0, 1, (2,), np.float32))).renamed({"w": "up"})
    assert wiring.actions(Controls(keys={"up"})).tolist() == [1, 0]


def all_wirings() -> list[Wiring]:
    spaces = [
        gymnasium.spaces.MultiBinary(3),
        gymnasium.spaces.MultiDiscrete([3, 2]),
        gymnasium.spaces.Box(np.array([-1, 0, -2, 0], np.float32), np.array([1, 1, 2, 5], np.float32)),
    ]
    return [wire(Fake(space)) for space in spaces] + [wire(discrete(18, get_keys_to_action=lambda: FULL)), wire(discrete(3))]


@pytest.mark.parametrize("wiring", all_wirings(), ids=lambda wiring: type(wiring.actions).__name__)
def test_what_is_held_for_an_action_gives_it_again(wiring: Wiring) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        keys = {key for key in wiring.spec.keys if rng.random() < 0.4}
        for group in wiring.spec.exclusive:
            keys -= set(list(keys & set(group))[1:])
        mouse = tuple(float(rng.uniform(-limit, limit)) for limit in wiring.spec.mouse_limit)
        action = wiring.actions(Controls(keys=keys, mouse=(mouse[0], mouse[1])))
        if action is not None:
            np.testing.assert_allclose(wiring.actions(wiring.actions.held(action)), action, atol=1e-6)


def test_an_action_without_a_key_is_named() -> None:
    with pytest.raises(GameError, match="no key gives the action 5"):
        Keyed({"": 0}).held(5)
    assert Stacked((Lever(0, 0, 1, keys={"w": 1.0}),), "float32", (1,)).held([0.2]).keys == frozenset()
