from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect, episode_seeds
from worldsim.data.format import episode_files, episode_path
from worldsim.errors import DataError, FileError, GameError

from . import moving_square
from .moving_square import EVAL_FRAMES, POLICIES, SIZE, SPEC, Bare, BrokenSquare, Grey, MovingSquare, Unrewarding

FRAMES = 300


def run(out: Path, frames: int = FRAMES, env: Any = MovingSquare, **options: Any) -> dict[str, Any]:
    options = {
        "game": "square",
        "eval_frames": EVAL_FRAMES,
        "progress": False,
        "policies": POLICIES,
        "state": ("x",),
        "cells": {"x": 64.0},
        **options,
    }
    return collect(env, out=out, frames=frames, **options)


def content(root: Path) -> dict[str, bytes]:
    """Every file of a dataset, but for those that a killed recorder left and the next one set aside."""
    paths = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith("orphans/")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset collected in one go by one process."""
    root = tmp_path_factory.mktemp("whole")
    run(root)
    return root


def test_enough_of_both_splits(whole: Path) -> None:
    evaluation, training = Dataset(whole, "eval"), Dataset(whole, "train")
    assert evaluation.total_frames >= EVAL_FRAMES > evaluation.total_frames - evaluation.lengths[-1]
    assert training.total_frames >= FRAMES > training.total_frames - training.lengths[-1]
    assert not {episode.seed for episode in evaluation.episodes} & {episode.seed for episode in training.episodes}
    assert {episode.policy for episode in training.episodes} == {"random", "right"}
    assert (training.info.game, training.fps, training.info.frame_skip) == ("square", 17.5, 2)


def test_rows_hold_the_frame_its_action_and_what_that_produced(whole: Path) -> None:
    dataset = Dataset(whole)
    for i in range(len(dataset)):
        episode = dataset.episode(i)
        red = episode.frames[:, 16, :, 0] > 140
        x = red.argmax(axis=1)
        assert (red.sum(axis=1) == 4).all()  # never the frame after the last action, where the square has left
        np.testing.assert_array_equal(x, episode.states[:, 0])
        moved = episode.actions[:, 1] - episode.actions[:, 0]
        np.testing.assert_array_equal(episode.rewards, x + moved)
        np.testing.assert_array_equal(x[1:], (x + moved)[:-1])
        ended = episode.terminated | episode.truncated
        assert ended[-1] and not ended[:-1].any()
        assert episode.terminated[-1] == (not 0 < episode.rewards[-1] < SIZE - 4)
        assert np.abs(episode.actions[:, 2]).max() <= SPEC.mouse_limit[0]


def test_more_processes_record_the_same(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, processes=2)
    assert content(tmp_path) == content(whole)


def test_a_second_run_continues(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, frames=120)
    first = content(tmp_path / "videos")
    run(tmp_path)
    assert content(tmp_path) == content(whole)
    assert first.items() <= content(tmp_path / "videos").items()
    assert run(tmp_path)["frames"]["train"] == Dataset(whole, "train").total_frames


def test_a_deleted_episode_is_recorded_anew(whole: Path, tmp_path: Path) -> None:
    run(tmp_path)
    episode_path(tmp_path, 3).unlink()
    assert len(Dataset(tmp_path)) == len(Dataset(whole)) - 1
    run(tmp_path)
    assert content(tmp_path) == content(whole)


def start(out: Path, frames: int, processes: int, **environment: str) -> subprocess.Popen[bytes]:
    """Collects in a process of its own and returns once it has some episodes."""
    command = [sys.executable, moving_square.__file__, str(out), str(frames), str(processes)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **environment}, start_new_session=True)
    deadline = time.monotonic() + 180
    while len(episode_files(out)) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    return process


def test_kill_and_resume(whole: Path, tmp_path: Path) -> None:
    process = start(tmp_path, FRAMES, 2)
    process.kill()
    process.communicate()
    saved = len(Dataset(tmp_path))
    assert 3 <= saved < len(Dataset(whole))
    run(tmp_path)
    assert content(tmp_path) == content(whole)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    process = start(tmp_path, 10_000, 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert errors.count(b"Traceback") == 1 and b"KeyboardInterrupt" in errors
    assert not (tmp_path / ".partial").exists()
    dataset = Dataset(tmp_path)
    assert len(dataset.frames(len(dataset) - 1)) == dataset.lengths[-1]


@pytest.mark.parametrize("whole_group", [False, True])
def test_sigterm_closes_the_games_and_keeps_what_is_finished(tmp_path: Path, whole_group: bool) -> None:
    process = start(tmp_path / "data", 10_000, 2, MARK=str(tmp_path / "open"))
    assert len(list((tmp_path / "open").iterdir())) == 2
    os.killpg(process.pid, signal.SIGTERM) if whole_group else process.terminate()
    _, errors = process.communicate(timeout=180)
    assert process.returncode != 0 and b"Terminated" in errors
    assert not list((tmp_path / "open").iterdir()), "every game was closed"
    assert not (tmp_path / "data" / ".partial").exists()
    dataset = Dataset(tmp_path / "data")
    assert len(dataset.frames(len(dataset) - 1)) == dataset.lengths[-1]


def test_a_full_disk_is_one_error_and_loses_no_episode(full_disk: Path) -> None:
    with pytest.raises(FileError, match="No space left on device"):
        run(full_disk, frames=100_000, eval_frames=0, lossless=True)
    (full_disk / "videos/observation.images.main/chunk-000/file-000.mp4").stat()
    dataset = Dataset(full_disk)
    for i in range(len(dataset)):
        assert len(dataset.episode(i).frames) == dataset.lengths[i]
    assert not [path for path in full_disk.rglob("*") if path.name.endswith("tmp") or ".partial" in path.parts]


def test_a_foreign_folder_is_refused_before_games_start(tmp_path: Path) -> None:
    (tmp_path / "thesis.tmp").write_text("years of work")
    with pytest.raises(DataError, match=r"holds 'thesis\.tmp'"):
        run(tmp_path, env=BrokenSquare)
    assert content(tmp_path) == {"thesis.tmp": b"years of work"}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Bare, "the game has no attribute 'control_spec'"),
        (Grey, r"the game shows uint8 \(32, 32\); a frame must be uint8 \(H, W, 3\)"),
        (functools.partial(MovingSquare, 0.0), "state"),
    ],
)
def test_games_that_cannot_be_recorded_are_named_errors(tmp_path: Path, env: Any, message: str) -> None:
    state = ("x", "health") if message == "state" else ("x",)
    with pytest.raises(DataError, match=message):
        run(tmp_path / "data", env=env, state=state)
    assert not (tmp_path / "data").exists()


def test_numpy_numbers_are_welcome(tmp_path: Path) -> None:
    figures = run(tmp_path, frames=np.int64(10), eval_frames=np.int32(0), seed=np.uint8(3), max_steps=np.int64(5))
    assert figures["frames"] == {"train": 10}


UNGUARDED = """
import sys
sys.path[:0] = [{tests!r}]
from data.moving_square import MovingSquare, POLICIES, collect
collect(MovingSquare, POLICIES, {out!r}, game="square", frames=10, progress=False)
"""


def test_a_script_without_a_guard_gets_a_hint(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.format(tests=str(Path(__file__).parent.parent), out=str(tmp_path / "data")))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 1 and "under `if __name__ == '__main__':`" in done.stderr


def test_long_episodes_are_truncated(tmp_path: Path) -> None:
    run(tmp_path, frames=20, max_steps=5)
    dataset = Dataset(tmp_path)
    assert dataset.lengths.max() == 5
    episode = dataset.episode(int(dataset.lengths.argmax()))
    assert episode.truncated.tolist() == [False] * 4 + [True]


def test_failures_reach_the_caller(tmp_path: Path) -> None:
    with pytest.raises(GameError, match=r"RuntimeError: the square fell over \(line \d+ of .*moving_square\.py, in step\)"):
        run(tmp_path, env=BrokenSquare)
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_reward_is_a_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the game's reward was None; the second value of step\(\) must be a number"):
        run(tmp_path, env=Unrewarding)


@pytest.mark.parametrize("options", [{"processes": 0}, {"policies": ()}, {"frames": -1}, {"seed": -1}, {"max_steps": 0}])
def test_impossible_arguments(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        run(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_seeds_are_reproducible_and_split() -> None:
    train = {episode_seeds(0, "train", k)[0] for k in range(500)}
    evaluation = {episode_seeds(0, "eval", k)[0] for k in range(500)}
    assert len(train) == len(evaluation) == 500 and not train & evaluation
    assert all(seed % 2 == 0 and 0 <= seed < 2**31 for seed in train)
    assert all(seed % 2 == 1 and 0 <= seed < 2**31 for seed in evaluation)
    (one, rng), (same, other) = episode_seeds(7, "train", 3), episode_seeds(7, "train", 3)
    assert one == same and rng.random() == other.random()


class Sighted:
    """Goes right while the frame that it is shown is the one of the game."""

    def __init__(self) -> None:
        self.env: Any = None

    def attach(self, env: Any) -> None:
        self.env = env

    def reset(self, rng: np.random.Generator) -> None: ...

    def act(self, info: dict[str, Any]) -> np.ndarray:
        shown = np.array_equal(info["frame"], self.env._draw())
        return SPEC.to_vector(Controls(keys={"d"} if shown else {"a"}))


def test_policies_see_the_frame_and_are_given_the_game(tmp_path: Path) -> None:
    collect(MovingSquare, [PolicySource("sighted", Sighted)], tmp_path, game="square", frames=10, progress=False)
    assert (Dataset(tmp_path).rows.actions[:, 1] == 1).all()


def test_where_the_game_was_is_remembered_and_does_not_matter_to_resuming(tmp_path: Path) -> None:
    options: dict[str, Any] = {"game": "square", "progress": False}
    collect(MovingSquare, POLICIES, tmp_path, frames=10, about="square.py:SPEC (sha256 0123456789abcdef)", **options)
    assert Dataset(tmp_path).info.source == "square.py:SPEC (sha256 0123456789abcdef)"
    collect(MovingSquare, POLICIES, tmp_path, frames=60, about="square.py:SPEC (sha256 ffffffffffffffff)", **options)
    assert Dataset(tmp_path).total_frames >= 60
