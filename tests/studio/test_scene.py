from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.envs.games.studio import CONTROLS, KINDS, STATES
from worldsim.studio.scene import SceneReader, Thing, colour, colours

GREY = np.full((64, 96, 3), 120, np.uint8)
READER = SceneReader(STATES, CONTROLS)


def states(frames: int = 16, /, **values: Any) -> np.ndarray:
    """States `(T, S)` that are 0, but for those given (`__` stands for a dot), with nothing seen."""
    rows = np.zeros((frames, len(STATES)), np.float32)
    for i, name in enumerate(STATES):
        rows[:, i] = values.get(name.replace(".", "__"), -1 if name.endswith(".kind") else 0)
    return rows


def actions(frames: int = 16, /, **held: Any) -> np.ndarray:
    rows = np.zeros((frames, CONTROLS.size), np.float32)
    for i, name in enumerate(CONTROLS.names):
        rows[:, i] = held.get(name.replace(".", "_"), 0)
    return rows


def moving(rows: np.ndarray, speed: float = 30.0) -> np.ndarray:
    rows[:, STATES.index("x")] = speed * np.arange(len(rows))
    return rows


def test_things_are_where_they_stand() -> None:
    imp: dict[str, Any] = {"object0__kind": KINDS.index("imp"), "object0__x": 0.2, "object0__height": 0.5}
    ball: dict[str, Any] = {"object1__kind": KINDS.index("fireball"), "object1__x": 0.9, "object1__height": 0.1}
    second: dict[str, Any] = {"object2__kind": KINDS.index("fireball"), "object2__x": 0.5, "object2__height": 0.08}
    found = READER.things(states(**imp, **ball, **second))
    assert found == (Thing("imp", "left", "near", 1), Thing("fireball", "right", "far", 2))


def test_what_is_seen_for_a_moment_is_not_told() -> None:
    rows = states(object0__kind=0, object0__x=0.5, object0__height=0.5)
    rows[3:, STATES.index("object0.kind")] = -1
    assert READER.things(rows) == ()


@pytest.mark.parametrize(
    ("held", "doing"),
    [
        ({}, ("stand",)),
        ({"w": 1}, ("forward",)),
        ({"s": 1, "a": 1}, ("backward", "left")),
        ({"d": 1, "mouse_dx": 5}, ("right", "turn right")),
        ({"mouse_dx": -5}, ("turn left",)),
        ({"space": 1}, ("shoot",)),
    ],
)
def test_actions_are_read_from_the_controls(held: dict[str, Any], doing: tuple[str, ...]) -> None:
    assert READER.read(moving(states(ammo=5, weapon=2)), actions(**held), GREY).doing == doing


def test_a_player_who_walks_and_stays_is_blocked() -> None:
    assert READER.read(states(), actions(w=1), GREY).doing == ("blocked",)


def test_without_ammunition_nothing_is_shot() -> None:
    assert READER.read(states(ammo=0), actions(space=1), GREY).doing == ("stand",)


def test_alternating_steps_and_turns_have_words_of_their_own() -> None:
    keys = actions()
    keys[:8, 1], keys[8:, 3] = 1, 1
    keys[:8, 5], keys[8:, 5] = 6, -6
    assert READER.read(moving(states()), keys, GREY).doing == ("dodge", "look around")


@pytest.mark.parametrize(("health", "word"), [(100, "fine"), (50, "hurt"), (10, "dying")])
def test_health_and_weapon_have_names(health: float, word: str) -> None:
    scene = READER.read(states(health=health, weapon=3, place=1), actions(), GREY)
    assert (scene.health, scene.weapon, scene.place) == (word, "shotgun", "take-cover")


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((10, 10, 10), "black"),
        ((60, 60, 60), "dark grey"),
        ((120, 125, 118), "grey"),
        ((230, 230, 230), "white"),
        ((150, 20, 20), "red"),
        ((90, 60, 40), "brown"),
        ((180, 140, 100), "tan"),
        ((30, 110, 40), "green"),
        ((20, 20, 120), "blue"),
    ],
)
def test_colours_have_names(rgb: tuple[int, int, int], name: str) -> None:
    assert colour(np.array(rgb, np.float32)) == name


def test_walls_floor_and_ceiling_are_told_apart() -> None:
    frame = GREY.copy()
    frame[:20], frame[20:40], frame[40:] = (20, 20, 120), (150, 20, 20), (30, 110, 40)
    assert colours(frame) == ("red", "green", "blue")
