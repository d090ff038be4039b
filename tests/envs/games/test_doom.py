"""Doom behind our controls: directions, units, seeding, episode ends, and what it leaves behind."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.controls import Controls
from worldsim.envs.games import GAMES, make
from worldsim.envs.games.doom import SPECS, halve
from worldsim.errors import ControlError, GameError

pytest.importorskip("vizdoom")


@pytest.fixture
def start():
    """`make` whose games end with the test."""
    envs = []

    def start(name: str, **overrides):
        envs.append(make(name, **overrides))
        return envs[-1]

    yield start
    for env in envs:
        env.close()


def angle_between(start: float, end: float) -> float:
    return (end - start + 180) % 360 - 180


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_gymnasium_checker(start, name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*maximum and minimum values are equal")  # dy, which Doom ignores
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized space")  # ours is in degrees
        check_env(start(name), skip_render_check=True)


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_frames_are_uint8_and_rates_follow_the_skip(start, name):
    env = start(name, frame_skip=4, render_mode="rgb_array")
    frame, info = env.reset(seed=0)
    assert frame.shape == (GAMES[name].height, 128, 3) and frame.dtype == np.uint8 and frame.std() > 5
    assert info["tics"] == 0 and info["has_frame"] and all(type(info[name]) is float for name in ("x", "y", "angle"))
    assert env.fps == 8.75 and env.metadata["render_fps"] == 9
    assert np.array_equal(env.render(), frame)
    assert env.step(Controls())[4]["tics"] == 4


def test_halve_is_the_rounded_mean_of_each_block():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    want = np.floor(image.reshape(2, 2, 3, 2, 3).mean((1, 3)) + 0.5)
    assert np.array_equal(halve(image), want)


@pytest.mark.parametrize("skip", [1, 2, 4])
@pytest.mark.parametrize("dx", [-20.0, 3.0, 10.0])
def test_mouse_turns_by_its_degrees_per_step_at_any_skip(start, skip, dx):
    env = start("doom/my-way-home", frame_skip=skip)
    _, info = env.reset(seed=1)
    for _ in range(3):
        before = info["angle"]
        *_, info = env.step(Controls(mouse=(dx, 0)))
        assert angle_between(before, info["angle"]) == pytest.approx(-dx, abs=0.05)  # angles grow to the left


def test_mouse_right_moves_the_picture_left(start):
    env = start("doom/my-way-home")
    still, turned = env.reset(seed=0)[0], env.step(Controls(mouse=(5, 0)))[0]

    def distance(shift: int) -> float:
        return float(np.abs(np.roll(still.astype(float), shift, axis=1) - turned)[:, 48:80].mean())

    assert min(range(-15, 16), key=distance) in (-6, -5)  # 64 pixels x tan(5 degrees) to the left, at the middle


@pytest.mark.parametrize(
    ("key", "direction"), [("w", (1, 0)), ("s", (-1, 0)), ("a", (0, 1)), ("d", (0, -1))], ids=["w", "s", "a", "d"]
)
def test_keys_move_as_they_should(start, key, direction):
    env = start("doom/deadly-corridor")
    _, info = env.reset(seed=0)
    assert info["angle"] == 0
    *_, after = env.step(Controls(keys={key}))
    moved = (after["x"] - info["x"], after["y"] - info["y"])
    assert np.dot(moved, direction) > 1  # from the very first step


def test_left_button_fires(start):
    env = start("doom/defend-the-center", objects=True)
    env.reset(seed=0)
    seen = {name for _ in range(10) for name, *_ in env.step(Controls(buttons={"left"}))[4]["objects"]}
    assert seen & {"BulletPuff", "Blood"}


def test_equal_seeds_give_equal_episodes_whatever_came_before(start):
    def episode(env, seed: int | None) -> np.ndarray:
        frames = [env.reset(seed=seed)[0]]
        for step in range(40):
            frames.append(env.step(Controls(keys={"ad"[step // 8 % 2]}))[0])
        return np.stack(frames)

    one, other = start("doom/take-cover"), start("doom/take-cover")
    first, second = episode(one, 7), episode(one, None)
    episode(other, 1)
    assert np.array_equal(episode(other, 7), first)
    assert np.array_equal(episode(other, None), second)
    assert not np.array_equal(first, second)


def test_action_forms_are_the_same_controls(start):
    env = start("doom/my-way-home")
    controls = Controls(keys={"w", "a"}, mouse=(4, 0))
    vector = env.control_spec.to_vector(controls)
    frames = []
    for action in (controls, vector, env.control_spec.to_action(vector)):
        env.reset(seed=2)
        frames.append(env.step(action)[0])
    assert np.array_equal(frames[0], frames[1]) and np.array_equal(frames[0], frames[2])
    with pytest.raises(ControlError, match="unknown key 'q'"):
        env.step(Controls(keys={"q"}))


def test_death_repeats_the_last_frame_and_counts_every_tic(start):
    env = start("doom/take-cover")
    last, _ = env.reset(seed=0)
    total, terminated = 0.0, False
    while not terminated:
        frame, reward, terminated, truncated, info = env.step(Controls())
        assert type(reward) is float and type(terminated) is bool and not truncated
        total += reward
        if not terminated:
            last = frame
    assert not info["has_frame"] and np.array_equal(frame, last)
    assert total == info["tics"] > 50  # one for each tic survived
    with pytest.raises(GameError, match=r"episode is over; call reset"):
        env.step(Controls())
    assert env.reset()[1]["has_frame"]


def test_episodes_are_cut_at_max_tics_with_a_frame(start):
    env = start("doom/my-way-home", max_tics=20)
    env.reset(seed=0)
    ends = [env.step(Controls())[2:] for _ in range(10)]
    assert [truncated for _, truncated, _ in ends] == [False] * 9 + [True]
    assert not any(terminated for terminated, *_ in ends) and ends[-1][2]["has_frame"]


def test_the_goal_ends_the_maze(start):
    """Walks into the vest by sight, from a start that sees it."""
    env = start("doom/my-way-home", objects=True)
    for seed in range(200):
        _, info = env.reset(seed=seed)
        if any(name == "GreenArmor" for name, *_ in info["objects"]):
            break
    terminated, rewards = False, []
    for _ in range(300):
        boxes = [box for box in info["objects"] if box[0] == "GreenArmor"]
        dx = (boxes[0][1] + boxes[0][3] / 2 - 64) * 0.3 if boxes else 3.0
        _, reward, terminated, _, info = env.step(Controls(keys={"w"} if boxes else set(), mouse=(dx, 0)))
        rewards.append(reward)
        if terminated:
            break
    assert terminated and rewards[-1] > 0.9 and info["tics"] >= 2 * len(rewards) - 2


def test_objects_are_boxes_in_observation_pixels(start):
    env = start("doom/take-cover", objects=True)
    env.reset(seed=0)
    seen: dict[str, int] = {}
    for _ in range(80):
        _, _, terminated, _, info = env.step(Controls())
        if terminated:
            break
        for name, x, y, w, h in info["objects"]:
            seen[name] = seen.get(name, 0) + 1
            assert x >= 0 and x + w <= 128 and y >= 0 and y + h <= 80 and w > 0 and h > 0
    assert {"DoomImp", "DoomImpBall"} <= set(seen) and "DoomPlayer" not in seen


def test_fireball_boxes_hold_the_bright_pixels(start):
    env = start("doom/take-cover", objects=True)
    env.reset(seed=0)
    for _ in range(100):
        frame, *_, info = env.step(Controls())
        balls = [box for box in info["objects"] if box[0] == "DoomImpBall" and box[3] >= 4]
        if balls:
            break
    x, y, w, h = (round(v) for v in balls[0][1:])
    red = frame[..., 0].astype(int)
    assert red[y : y + h, x : x + w].mean() > red.mean() + 50


def test_the_strip_is_the_middle_of_the_whole_frame(start):
    whole, strip = start("doom/take-cover", frame_skip=4, objects=True), start("doom/take-cover-strip", objects=True)
    for env in (whole, strip):
        env.reset(seed=5)
    for _ in range(12):
        frame, *_, info = whole.step(Controls(keys={"d"}))
        shown, *_, seen = strip.step(Controls(keys={"d"}))
        assert np.array_equal(shown, frame[24:56])
        assert seen["objects"] == [(name, x, y - 24, w, h) for name, x, y, w, h in info["objects"]]
    assert any(name == "DoomImp" and 0 < y < 32 for name, _, y, *_ in seen["objects"])


def test_nothing_is_written_to_the_working_directory(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path.parent))
    env = start("doom/take-cover")
    env.reset(seed=0)
    env.step(Controls())
    folders = list(tmp_path.parent.glob("worldsim-doom-*"))
    env.close()
    env.close()
    assert Path.cwd() == tmp_path and not list(tmp_path.iterdir())
    assert len(folders) == 1 and not folders[0].exists()


def test_a_closed_game_says_so(start):
    env = start("doom/take-cover")
    env.close()
    with pytest.raises(GameError, match=r"take_cover.cfg\) does not run.*new environment"):
        env.reset()


def children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the game's process in /proc")
def test_a_killed_game_process_is_named(start):
    before = children()
    env = start("doom/take-cover")
    env.reset(seed=0)
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(GameError, match="does not run"):
        for _ in range(100):
            env.step(Controls())
    env.close()


def first_frame_sum(name: str) -> int:
    env = make(name)
    total = int(env.reset(seed=5)[0].sum())
    env.close()
    return total


def test_games_start_in_spawned_workers():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(first_frame_sum, ("doom/my-way-home",)) == first_frame_sum("doom/my-way-home")


FORK = """
import os, sys
from worldsim.envs.games import make
from worldsim.controls import Controls
env = make("doom/take-cover")
env.reset(seed=0)
child = os.fork()
if child == 0:
    try:
        env.step(Controls())
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    env.close()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print(env.step(Controls())[4]["tics"])
env.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_leaves_the_game_to_its_parent():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    refused, tics = done.stdout.splitlines()
    assert refused.startswith("GameError this Doom belongs to the process that started it") and tics == "2"


def test_a_running_game_is_not_copied(start):
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(GameError, match="a running Doom cannot be copied or pickled"):
            copied(start("doom/take-cover"))


def test_import_needs_no_vizdoom_and_make_says_what_to_install():
    code = (
        "import sys; sys.modules['vizdoom'] = None\n"
        "from worldsim.envs.games import make\n"
        "try: make('doom/take-cover')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("GameError") and 'pip install "worldsim-dit[doom]"' in result.stdout
    assert not result.stderr


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("doom/take-covr", {}, r"unknown game 'doom/take-covr'.*Did you mean 'doom/take-cover'"),
        ("doom/take-cover", {"frameskip": 4}, r"doom/take-cover has no option 'frameskip'.*Did you mean 'frame_skip'"),
        ("doom/take-cover", {"frame_skip": 0}, r"frame_skip was 0; give a whole number of at least 1"),
        ("doom/take-cover", {"width": 100}, r"RES_200X160, which does not exist; try 128x80"),
        ("doom/take-cover-strip", {"height": 33}, r"rendered was 80; give 0, or the height \(33\) and an even number of rows"),
        ("doom/take-cover", {"scenario": "none.cfg"}, r"Doom \(none.cfg\) does not run"),
        ("doom/take-cover", {"render_mode": "human"}, r"render_mode was 'human'"),
        ("doom/take-cover", {"bindings": {"w": "MOVE_FORWARD"}}, r"bindings name the control 'w'; control_spec has: a, d"),
    ],
)
def test_what_a_user_can_get_wrong(name, overrides, message):
    with pytest.raises(GameError, match=message):
        make(name, **overrides)


def test_every_game_binds_every_control_but_dy():
    for spec in SPECS:
        assert isinstance(spec.make, partial)
        (config,) = spec.make.args
        assert set(spec.control_spec.names) - set(config.bindings) <= {"mouse.dy"}
        assert set(spec.meanings) == set(config.bindings), "and says what it does"
