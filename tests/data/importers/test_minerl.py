from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_minerl import OLD, ask, needs_old

from worldsim.data import Dataset
from worldsim.data.importers.config import MineRLConfig
from worldsim.data.importers.minerl import import_minerl
from worldsim.envs.games.minerl import SIMPLE, MineRLActions
from worldsim.errors import DataError

from ..shift import FPS, check_shift, controls, frames_after, save_video

ACTIONS = MineRLActions(SIMPLE, mouse_limit=18.0)
SPEC = ACTIONS.control_spec
BEFORE = 7  # frames of the video that are older than the episode


def save(folder: Path, seed: int = 0, steps: int = 30, success: bool = False, **changes: Any) -> np.ndarray:
    """An episode as MineRL's dataset has it: one more frame than actions, and others before."""
    folder.mkdir(parents=True)
    vectors = controls(steps, seed, SPEC)
    frames = frames_after(np.concatenate([vectors, np.zeros((1, SPEC.size), np.float32)]), SPEC)
    save_video(folder / "recording.mp4", np.concatenate([np.full_like(frames[:BEFORE], 77), frames]))
    taken = [ACTIONS.to_action(SPEC.from_vector(vector)) for vector in vectors]
    arrays: dict[str, Any] = {f"action${name}": np.array([action[name] for action in taken]) for name in (*SIMPLE, "camera")}
    arrays |= {"action$place": np.full(steps, "none"), "observation$inventory$dirt": np.zeros(steps + 1)}
    arrays |= {"reward": np.arange(steps, dtype=np.float64), **changes}
    np.savez(folder / "rendered.npz", **arrays)
    about = {"success": success, "true_video_frame_count": BEFORE + steps + 1, "duration_ms": 1500, "total_reward": 0.0}
    (folder / "metadata.json").write_text(json.dumps(about))
    return vectors


def test_the_video_is_cut_where_the_episode_begins(tmp_path: Path) -> None:
    vectors = [save(tmp_path / "in/MineRLTreechop-v0/v3_one", 0, success=True), save(tmp_path / "in/MineRLTreechop-v0/v3_two", 1)]
    done = import_minerl(MineRLConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    dataset = check_shift(tmp_path / "out", SPEC)
    assert done.frames == 60 and dataset.spec == SPEC and dataset.fps == FPS and dataset.info.game == "minerl/imported"
    np.testing.assert_allclose(dataset.rows.actions, np.concatenate(vectors), atol=1e-5)
    np.testing.assert_array_equal(dataset.rows.rewards, [*range(30), *range(30)])
    assert np.flatnonzero(dataset.rows.terminated).tolist() == [29] and np.flatnonzero(dataset.rows.truncated).tolist() == [59]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no rendered\.npz at"):
        import_minerl(MineRLConfig(tmp_path, tmp_path / "out"), progress=False)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"reward": np.zeros(0)}, "lacks 'reward'"),
        ({"action$jump": np.zeros(3)}, "arrays that are too short"),
        ({"action$camera": np.zeros((30, 3))}, "each is pitch and yaw"),
        ({"action$camera": np.array([{"a": 1}] * 30, object)}, "cannot be read"),  # would have to be unpickled
    )
    for number, (changes, message) in enumerate(cases):
        save(tmp_path / f"{number}/one", **changes)
        with pytest.raises(DataError, match=message):
            import_minerl(MineRLConfig(tmp_path / str(number), tmp_path / "out"), progress=False)
    save(tmp_path / "short/one")
    save_video(tmp_path / "short/one/recording.mp4", frames_after(controls(20, 0, SPEC), SPEC))
    with pytest.raises(DataError, match="ends before action 13 of 30"):
        import_minerl(MineRLConfig(tmp_path / "short", tmp_path / "out"), progress=False)
    for count in (3, 10**400, "x"):
        (tmp_path / "short/one/metadata.json").write_text(json.dumps({"true_video_frame_count": count}))
        with pytest.raises(DataError, match=f"true_video_frame_count of .* was '?{str(count)[:20]}"):
            import_minerl(MineRLConfig(tmp_path / "short", tmp_path / "out"), progress=False)


@needs_old
def test_minerls_dataset_is_read_as_its_own_pipeline_reads_it(tmp_path: Path) -> None:
    save(tmp_path / "in/one")
    config = MineRLConfig(tmp_path / "in", tmp_path / "out", mouse_limit=180.0, lossless=True)
    import_minerl(config, progress=False)
    ask(OLD, "trajectory", tmp_path / "in/one", tmp_path / "theirs.npz")
    theirs, dataset = np.load(tmp_path / "theirs.npz"), Dataset(tmp_path / "out")
    episode, actions = dataset.episode(0), MineRLActions(SIMPLE)
    assert len(theirs["reward"]) == episode.info.length
    assert np.abs(theirs["now"].astype(int) - episode.frames).mean() < 2  # another decoder
    assert np.abs(theirs["after"][:-1].astype(int) - episode.frames[1:]).mean() < 2
    for t, vector in enumerate(episode.actions):
        ours = actions.to_action(dataset.spec.from_vector(vector))
        assert all(ours[name] == theirs[f"action_{name}"][t] for name in SIMPLE)
        np.testing.assert_allclose(ours["camera"], theirs["action_camera"][t], atol=1e-6)
    np.testing.assert_array_equal(episode.rewards, theirs["reward"])
    np.testing.assert_array_equal(episode.terminated | episode.truncated, theirs["done"])
