"""The codec, and games in a process of their own, which a stub with MineRL's spaces and old API plays."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import minerl_pipe
from worldsim.envs.games.minerl import (
    DEGREES_PER_PIXEL,
    HUMAN,
    SIMPLE,
    MineRLActions,
    MineRLEnv,
    actions_of,
    minerl_game,
)
from worldsim.envs.games.policies import StickyRandom
from worldsim.errors import ControlError, GameError

STUB = Path(__file__).parents[2] / "minerl/stub"
TURN = st.floats(-180, 180, width=32)


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", str(STUB))
    monkeypatch.setenv("STUB_CLOSED", str(tmp_path))
    yield


def make(env_id: str = "MineRLTreechop-v0", **options: Any) -> MineRLEnv:
    return MineRLEnv(env_id, python=sys.executable, **options)


def seen(frame: np.ndarray, names: tuple[str, ...]) -> tuple[set[str], tuple[float, float]]:
    """The binary actions and the camera that a frame of the stub shows."""
    levels = frame[2:, 0, 0][::2].astype(float)
    held = {name for name, level in zip(sorted(names), levels, strict=False) if level > 127}
    pitch, yaw = (levels[len(names) : len(names) + 2] - 128) * 1.8
    return held, (pitch, yaw)


@given(held=st.sets(st.sampled_from(HUMAN)), pitch=TURN, yaw=TURN)
def test_actions_and_controls_are_the_same_in_both_directions(held: set[str], pitch: float, yaw: float) -> None:
    actions = MineRLActions()
    camera = np.array([pitch, yaw], np.float32)
    action = {**{name: int(name in held) for name in HUMAN}, "camera": camera}
    controls = actions.from_action(action)
    back = actions.to_action(controls)
    assert back.keys() == action.keys() and all(back[name] == action[name] for name in HUMAN)
    np.testing.assert_array_equal(back["camera"], camera)
    assert back["camera"].dtype == np.float32 and actions.from_action(back) == controls
    vector = actions.control_spec.to_vector(controls)
    assert actions.control_spec.from_vector(vector) == controls  # what datasets store


def test_all_23_binary_actions_have_the_keys_of_minecraft() -> None:
    spec = MineRLActions().control_spec
    assert len(HUMAN) == 23 and spec.size == 25 and spec.mouse_limit == (180.0, 180.0)
    forward = MineRLActions().to_action(Controls(keys={"w", "ctrl"}, mouse=(10 * DEGREES_PER_PIXEL, -0.3), buttons={"left"}))
    assert {name for name in HUMAN if forward[name]} == {"forward", "sprint", "attack"}
    np.testing.assert_array_equal(forward["camera"], np.array([-0.3, 1.5], np.float32))  # pitch, yaw
    simple = MineRLActions(SIMPLE, mouse_limit=18.0).control_spec
    assert simple.keys == ("w", "s", "a", "d", "space", "shift", "ctrl") and simple.buttons == ("left",)
    assert simple.exclusive == (("w", "s"), ("a", "d"))


def test_what_no_key_can_give_is_refused() -> None:
    actions = MineRLActions(SIMPLE, (("craft", "none"),))
    assert actions.to_action(Controls())["craft"] == "none"
    assert actions.from_action({"craft": "none", "forward": 1}) == Controls(keys={"w"})
    with pytest.raises(ControlError, match="action has craft = 'planks'"):
        actions.from_action({"craft": "planks"})
    with pytest.raises(ControlError, match="unknown key 'e'"):
        actions.to_action(Controls(keys={"e"}))
    with pytest.raises(GameError, match=r"binaries has 'fly'"):
        MineRLActions(("fly",))
    for limit in (0.0, 180.5, float("nan")):
        with pytest.raises(GameError, match="mouse_limit was"):
            MineRLActions(mouse_limit=limit)


@pytest.mark.parametrize(("env_id", "names"), [("MineRLTreechop-v0", SIMPLE), ("MineRLHumanSurvival-v0", HUMAN)])
def test_the_controls_of_a_step_show_in_its_frame(env_id: str, names: tuple[str, ...]) -> None:
    env = make(env_id, height=64, width=64 if names is SIMPLE else 640)
    try:
        assert set(env.actions.binaries) == set(names)
        env.reset(seed=3)
        rng = np.random.default_rng(0)
        for _ in range(5):
            vector = StickyRandom(env.control_spec).act({}) if names is SIMPLE else np.round(rng.random(env.control_spec.size))
            frame, reward, terminated, truncated, info = env.step(env.control_spec.to_action(vector))
            action = env.actions.to_action(env.control_spec.from_vector(vector))
            held = {name for name in names if action[name]}
            assert reward == len(held) and info["pitch"] == pytest.approx(action["camera"][0], abs=1e-5)
            if names is SIMPLE:
                shown, camera = seen(frame, names)
                assert shown == held and np.abs(np.array(camera) - action["camera"]).max() < 2
        assert (terminated, truncated) == (False, False)
        assert env.step(env.control_spec.to_action(vector))[2] is True
        with pytest.raises(GameError, match="the episode is over"):
            env.step(env.control_spec.to_action(vector))
    finally:
        env.close()


def test_it_is_a_gymnasium_environment(tmp_path: Path) -> None:
    env = make(render_mode="rgb_array")
    check_env(env, skip_render_check=True)
    first = [env.reset(seed=seed)[1]["inventory.log"] for seed in (1, 2, 1)]
    assert first[0] == first[2] != first[1]  # the seed reaches the world
    frame, info = env.reset(seed=1)
    np.testing.assert_array_equal(env.render(), frame)
    assert info["tics"] == 0 and info["has_frame"] is True and "held" not in info
    env.close()
    env.close()
    assert (tmp_path / "closed").exists()  # it ended by itself, not by a signal
    with pytest.raises(GameError, match="is closed"):
        env.reset()


def test_steps_are_joined_and_the_mouse_is_shared_out() -> None:
    env = make(frame_skip=4, max_tics=5)
    try:
        env.reset(seed=0)
        spec = env.control_spec
        vector = spec.to_vector(Controls(keys={"w"}, mouse=(8.0, -4.0)))
        frame, reward, terminated, truncated, info = env.step(spec.to_action(vector))
        held, camera = seen(frame, SIMPLE)
        assert held == {"forward"} and reward == 4 and info["tics"] == 4 and env.fps == 5
        assert info["pitch"] == pytest.approx(-1.0) and camera[1] == pytest.approx(2, abs=1)
        _, reward, terminated, truncated, info = env.step(spec.to_action(vector))
        assert (reward, terminated, truncated, info["tics"]) == (1, False, True, 5)
    finally:
        env.close()


def test_a_time_limit_truncates_and_other_actions_do_nothing() -> None:
    for env_id, ends in (("Limited-v0", (False, True)), ("Crafting-v0", (True, False))):
        env = make(env_id)
        env.reset(seed=0)
        results = [env.step(env.control_spec.to_action(np.zeros(env.control_spec.size))) for _ in range(6)]
        assert results[-1][2:4] == ends
        env.close()


def test_frames_are_scaled_by_averaging() -> None:
    env = make("MineRLHumanSurvival-v0", height=80, width=128)
    try:
        frame, _ = env.reset(seed=0)
        assert frame.shape == (80, 128, 3) and frame.dtype == np.uint8
    finally:
        env.close()


def test_failures_say_what_minecraft_said(tmp_path: Path) -> None:
    for env_id, message in (
        ("Failing-v0", r"Failing-v0 failed: RuntimeError: Minecraft did not answer\\nat all\."),
        ("Dying-v0", r"Dying-v0 failed: its process ended\. The last that it wrote: .*java\.lang\.OutOfMemoryError"),
    ):
        env = make(env_id)
        env.reset(seed=0)
        with pytest.raises(GameError, match=message):
            env.step(env.control_spec.to_action(np.zeros(env.control_spec.size)))
        with pytest.raises(GameError, match="is closed"):
            env.reset()
    with pytest.raises(GameError, match="No registered env with id: MineRLNothing-v0"):
        make("MineRLNothing-v0")
    with pytest.raises(GameError, match="choose an environment without VectorObf"):
        make("MineRLTreechopVectorObf-v0")
    with pytest.raises(GameError, match="No module named 'nothing'"):
        make(package="nothing")
    with pytest.raises(GameError, match="python was '/nowhere/python', where no interpreter is"):
        MineRLEnv("MineRLTreechop-v0", python="/nowhere/python")
    with pytest.raises(GameError, match="its GameSpec those of use; describe it again"):
        make(actions=MineRLActions(("use",)))


def test_no_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make()
    process = env._worker._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    monkeypatch.setattr(minerl_pipe, "PATIENCE", 0.2)
    monkeypatch.setattr(minerl_pipe, "GRACE", 0.1)
    with pytest.raises(GameError, match="did not answer within 0 seconds"):
        env.reset()
    assert process.poll() is not None  # nothing is left running


def test_it_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    env = make()
    process = env._worker._process
    assert process is not None and process.stdin is not None
    process.stdin.close()  # as when that program is killed
    for _ in range(100):
        if process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() == 0 and (tmp_path / "closed").exists()
    env.close()


def test_a_game_is_recorded_like_any_other(tmp_path: Path) -> None:
    game = minerl_game(
        "minerl/treechop", "MineRLTreechop-v0", python=sys.executable, binaries=SIMPLE, states=("inventory.log",), max_tics=8000
    )
    assert pickle.loads(pickle.dumps(game)).name == game.name  # child processes get it so
    assert game.meanings["mouse.left"] == "attack" and game.fps == 20 and game.steps(1) == 8000
    policy = PolicySource("random", functools.partial(StickyRandom, game.control_spec), 1.0)
    about: dict[str, Any] = {
        "game": game.name,
        "state": game.states,
        "frames": 30,
        "eval_frames": 0,
        "processes": 1,
        "progress": False,
    }
    collect(game.start, [policy], tmp_path / "data", **about)
    dataset = Dataset(tmp_path / "data")
    assert dataset.total_frames >= 30 and dataset.frame_shape == (64, 64, 3) and dataset.spec == game.control_spec
    clip = dataset.clips([0], [0], 6)
    for frame, vector in zip(clip.frames[0, 1:], clip.controls[0, 1:], strict=True):
        shown, camera = seen(frame, SIMPLE)
        controls = dataset.spec.from_vector(vector)
        action = MineRLActions(SIMPLE).to_action(controls)
        assert shown == {name for name in SIMPLE if action[name]}, "the frame shows the controls that led to it"
        assert np.abs(np.array(camera) - action["camera"]).max() < 2
    env = game.start(frame_skip=2, height=32, width=32)
    assert env.get_wrapper_attr("fps") == 10 and env.observation_space.shape == (32, 32, 3)
    env.close()


def test_actions_are_read_from_a_description() -> None:
    described = {
        "actions": {"forward": {"kind": "binary"}, "place": {"kind": "enum", "values": ["none", "dirt"], "noop": "none"}}
    }
    camera = {"camera": {"kind": "camera", "low": -180.0, "high": 180.0}}
    actions = actions_of({"actions": {**described["actions"], **camera}, "pov": [64, 64, 3]})
    assert actions.binaries == ("forward",) and actions.noops == (("place", "none"),)
    other = {**camera, "strange": {"kind": "other", "space": "Box(3,)"}}
    with pytest.raises(GameError, match="its action 'strange' is 'Box"):
        actions_of({"actions": other, "pov": [64, 64, 3]})
