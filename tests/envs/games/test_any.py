"""The parts that turn any environment into a game."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.any import Adapted, Keyed, Lever, Picture, Stacked, resize, to_rgb
from worldsim.errors import GameError

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(10.0, 0.0), exclusive=(("a", "d"),))


def dot(height: int = 8, width: int = 8) -> np.ndarray:
    """A black frame with one white pixel at (1, 3)."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[1, 3] = 255
    return frame


@pytest.mark.parametrize(
    "shown",
    [
        np.full((4, 6), 51, np.uint8),
        np.full((4, 6, 1), 51, np.uint8),
        np.full((4, 6, 3), 51, np.uint8),
        np.full((4, 6, 4), 51, np.uint8),
        np.full((3, 4, 6), 51, np.uint8),
        np.full((4, 6, 3), 0.2, np.float32),
        np.full((4, 6), 51, np.int64),
    ],
    ids=["grey", "grey channel", "rgb", "rgba", "channels first", "floats", "whole numbers"],
)
def test_every_kind_of_picture_becomes_rgb(shown: np.ndarray) -> None:
    rgb = to_rgb(shown)
    assert rgb.shape == (4, 6, 3) and rgb.dtype == np.uint8
    assert (rgb == 51).all()


def test_bits_become_black_and_white() -> None:
    assert to_rgb(np.array([[False, True]]))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("shape", [(5,), (5, 6, 2), (2, 4, 6, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GameError, match="shape"):
        to_rgb(np.zeros(shape, np.uint8))


def test_max_keeps_a_dot_that_area_dims() -> None:
    assert resize(dot(), 4, 4, "max")[0, 1, 0] == 255
    assert resize(dot(), 4, 4, "area")[0, 1, 0] == 64  # a quarter of it, rounded
    assert resize(dot(), 4, 4, "area").sum() == resize(dot(), 4, 4, "max").sum() * 64 // 255
    assert resize(dot(), 4, 4, "nearest")[0, 1, 0] == 255  # the pixel at the middle of rows 0 and 1, columns 2 and 3


@pytest.mark.parametrize("how", ["area", "max", "nearest"])
@pytest.mark.parametrize("size", [(8, 8), (5, 3), (16, 24), (7, 20)])
def test_any_size_can_be_had_and_plain_colours_stay(how: Any, size: tuple[int, int]) -> None:
    frame = np.full((8, 8, 3), 77, np.uint8)
    assert (resize(frame, *size, how) == np.full((*size, 3), 77)).all()


def test_a_crop_is_cut_out_before_it_is_resized() -> None:
    shown = np.zeros((20, 20, 3), np.uint8)
    shown[4:12, 6:14] = 200
    assert (Picture(4, 4, (4, 6, 12, 14))(shown) == 200).all()
    with pytest.raises(GameError, match="20x20"):
        Picture(4, 4, (4, 6, 30, 14))(shown)


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"height": 0}, "height"), ({"resize": "best"}, "resize"), ({"crop": (5, 0, 5, 9)}, "crop")],
)
def test_wrong_pictures_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(GameError, match=named):
        Picture(**{"height": 16, "width": 16, **fields})


def test_held_keys_choose_the_row_that_uses_most_of_them() -> None:
    keyed = Keyed({"": 0, "space": 1, "a": 2, "d": 3, "space+a": 4})
    held = {"": set(), "space": {"space"}, "a": {"a"}, "space+a": {"a", "space"}}
    assert {keys: keyed(Controls(keys=value)) for keys, value in held.items()} == {"": 0, "space": 1, "a": 2, "space+a": 4}
    assert keyed(Controls(keys={"a", "d"})) == 2  # together they have no row: the first of them
    assert keyed(Controls(keys={"d", "space"})) == 1


def test_a_table_needs_a_row_for_nothing_held() -> None:
    with pytest.raises(GameError, match="nothing held"):
        Keyed({"a": 0})


def test_levers_follow_mouse_and_keys() -> None:
    steer = Lever(0.0, -1.0, 1.0, "dx", limit=10.0)
    assert [steer(Controls(mouse=(dx, 0))) for dx in (-20, -5, 0, 5, 20)] == [-1, -0.5, 0, 0.5, 1]
    gas = Lever(0.0, 0.0, 1.0, keys={"w": 1.0})
    assert [gas(Controls(keys=keys)) for keys in (set(), {"w"})] == [0, 1]
    uneven = Lever(1.0, 0.0, 3.0, "dy", limit=1.0)
    assert [uneven(Controls(mouse=(0, dy))) for dy in (-1, -0.5, 0, 0.5, 1)] == [0, 0.5, 1, 2, 3]


def test_stacked_parts_are_an_element_of_their_space() -> None:
    space = gymnasium.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 1], np.float32))
    stacked = Stacked((Lever(0, -1, 1, "dx"), Lever(0, 0, 1, keys={"a": 1.0})), "float32", (2,))
    assert space.contains(stacked(Controls(keys={"a"}, mouse=(-5, 0))))
    assert stacked(Controls(keys={"a"}, mouse=(-5, 0))).tolist() == [-0.5, 1]


class Counter(gymnasium.Env[Any, Any]):
    """Shows as many white rows as steps were made; ends after `last` steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, last: int = 10) -> None:
        self.last, self.actions = last, []  # type: ignore[var-annotated]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.actions = []
        return self._draw(), {"told": 7}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        return self._draw(), 1.0, len(self.actions) >= self.last, False, {"told": len(self.actions)}

    def _draw(self) -> np.ndarray:
        frame = np.zeros((32, 32, 3), np.uint8)
        frame[: len(self.actions)] = 255
        return frame


def adapted(env: gymnasium.Env[Any, Any], table: dict[str, int | None], **options: Any) -> Adapted:
    return Adapted(env, Picture(16, 16, resize="nearest"), SPEC, Keyed(table), fps=10.0, **options)


def test_an_adapted_environment_takes_controls_in_every_form() -> None:
    inner = Counter()
    env = adapted(inner, {"": 0, "a": 1, "d": 2})
    frame, info = env.reset(seed=0)
    assert env.observation_space.contains(frame) and info["told"] == 7 and info["tics"] == 0 and info["has_frame"] is True
    for action in (
        Controls(keys={"d"}),
        SPEC.to_vector(Controls(keys={"d"})),
        SPEC.to_action(np.array([0, 1, 0, 0], np.float32)),
    ):
        _, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (1.0, False, False)
    assert inner.actions == [2, 2, 2] and info["tics"] == 3 and info["told"] == 3


def test_steps_are_repeated_and_their_rewards_added_up() -> None:
    inner = Counter(last=5)
    env = adapted(inner, {"": 0, "a": 1, "d": 2}, repeat=3, frame_skip=6)
    env.reset()
    _, reward, terminated, _, info = env.step(Controls(keys={"a"}))
    assert (reward, terminated, info["tics"], inner.actions) == (3.0, False, 6, [1, 1, 1])
    _, reward, terminated, _, _ = env.step(Controls())
    assert (reward, terminated) == (2.0, True), "the episode ended in the middle"
    with pytest.raises(GameError, match="reset"):
        env.step(Controls())


def test_a_game_of_turns_waits_while_nothing_is_held() -> None:
    inner = Counter()
    env = adapted(inner, {"": None, "a": 1, "d": 2}, max_tics=2)
    before, _ = env.reset()
    after, reward, terminated, truncated, info = env.step(Controls())
    assert (after == before).all() and inner.actions == []
    assert (reward, terminated, truncated, info["tics"]) == (0.0, False, False, 1)
    assert env.step(Controls())[3], "waiting takes time, too"


def test_states_and_objects_are_told() -> None:
    env = adapted(
        Counter(),
        {"": 0},
        states=lambda env, picture: {"height": float(picture.height)},
        objects=lambda env, picture: [("box", 1.0, 2.0, 3.0, 4.0)],
    )
    _, info = env.reset()
    assert info["height"] == 16.0 and info["objects"] == [("box", 1.0, 2.0, 3.0, 4.0)]


class Dicts(Counter):
    observation_space = gymnasium.spaces.Dict(  # type: ignore[assignment]
        view=gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8), speed=gymnasium.spaces.Box(0, 1, (1,))
    )

    def _draw(self) -> Any:
        return {"view": super()._draw(), "speed": np.zeros(1, np.float32)}


def test_an_entry_of_a_dict_can_be_the_picture() -> None:
    env = Adapted(Dicts(), Picture(32, 32, source="observation:view"), SPEC, Keyed({"": 0}), fps=10.0)
    env.reset()
    assert env.step(Controls())[0][0].min() == 255


def test_what_is_not_shown_is_refused() -> None:
    env = Adapted(Counter(), Picture(32, 32, source="render"), SPEC, Keyed({"": 0}), fps=10.0)
    with pytest.raises(NotImplementedError):
        env.reset()


def test_the_parts_can_be_pickled() -> None:
    parts = Picture(16, 16, (0, 0, 32, 32), "max"), Keyed({"": 0, "a": 1}), Lever(0, -1, 1, "dx")
    assert pickle.loads(pickle.dumps(parts)) == parts
