"""What an agent sees, and how its actions become controls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games import find_game
from worldsim.envs.view import ACTIONS, View
from worldsim.errors import ControlError, EnvError

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(16.0, 0.0))
SIZE = (32, 48)


def test_actions_say_what_they_do() -> None:
    spec = find_game("doom/defend-the-center")
    views = {actions: View(spec.control_spec, (80, 128), 0, spec.axes, spec.meanings, actions=actions) for actions in ACTIONS}
    assert views["flat"].action_meanings() == [["rest", "turn -2.5", "turn +2.5", "turn -10", "turn +10"], ["rest", "fire"]]
    assert views["native"].action_meanings() == ["turn", "mouse.dy", "fire"]
    dodge = find_game("toy/dodge")
    flat = View(dodge.control_spec, (32, 48), 0, dodge.axes, dodge.meanings, actions="flat")
    assert flat.action_meanings() == ["rest", "left", "right"]
    unknown = View(ControlSpec(keys=("a",), buttons=("left",)), (32, 48), 0, actions="flat")
    assert unknown.action_meanings() == [["rest", "a"], ["rest", "left click"]]


def test_spaces() -> None:
    assert View(SPEC, SIZE, 36, stack=2).observation_space.shape == (32, 48, 6)
    assert View(SPEC, SIZE, 36, obs_size=(8, 12)).observation_space.shape == (8, 12, 3)
    assert View(SPEC, SIZE, 36, obs="latent", stack=2).observation_space.shape == (72,)
    with pytest.raises(EnvError, match="obs='latent' needs a tokenizer"):
        View(SPEC, SIZE, 0, obs="latent")
    with pytest.raises(EnvError, match="obs_size scales pixels; leave it out"):
        View(SPEC, SIZE, 36, obs="latent", obs_size=(8, 12))


def test_one_action_in_every_form() -> None:
    native, flat = View(SPEC, SIZE, 0), View(SPEC, SIZE, 0, actions="flat")
    pressed = Controls(keys={"d"}, mouse=(2.0, 0))
    vector = SPEC.to_vector(pressed)
    assert vector.tolist() == [0, 1, 2, 0]
    for action in (pressed, vector, SPEC.to_action(vector), torch.from_numpy(vector)):
        assert np.array_equal(native.vector(action), vector)
    assert np.array_equal(flat.vector([0, 1, 2]), vector)
    assert native.vector(0).tolist() == flat.vector(0).tolist() == [0, 0, 0, 0]
    with pytest.raises(ControlError, match=r"or a vector of 4 numbers: a, d, mouse\.dx, mouse\.dy"):
        native.vector(np.zeros(3))
    with pytest.raises(ControlError, match=r"actions are for \(1,\) worlds; give one for each of 2"):
        flat.vectors([[0, 1, 2]], 2)


def test_frames_are_scaled_and_latents_clamped() -> None:
    frames = torch.arange(2, dtype=torch.uint8).mul(200)[:, None, None, None].expand(2, *SIZE, 3)
    scaled = View(SPEC, SIZE, 0, obs_size=(8, 12)).scale(frames)
    assert scaled.shape == (2, 8, 12, 3) and scaled.dtype == torch.uint8
    assert not scaled[0].any() and (scaled[1] == 200).all()
    assert View(SPEC, SIZE, 0).scale(frames) is frames
    latents = torch.tensor([-11.0, 3.0, 12.0], dtype=torch.float32)[None, None, None]
    assert View(SPEC, SIZE, 3, obs="latent").flatten(latents).tolist() == [[-10.0, 3.0, 10.0]]
