from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.controls import ControlSpec
from worldsim.data import Dataset
from worldsim.data.importers.config import D4rlConfig
from worldsim.data.importers.d4rl import import_d4rl
from worldsim.errors import DataError

from ..shift import SPEC, check_shift, controls, frames_after

h5py = pytest.importorskip("h5py")

WORDS = ("a", "d", "mouse.dx=10", "mouse.dy=10", "mouse.left")


def save(path: Path, **changes: Any) -> dict[str, np.ndarray]:
    """Three episodes of 30, 20 and 10 steps: one terminates, one is cut off, one goes on."""
    vectors = [controls(steps, steps) for steps in (30, 20, 10)]
    flags = np.zeros((2, 60), np.bool_)
    flags[0, 29] = flags[1, 49] = True
    arrays = {
        "observations": np.concatenate([frames_after(part) for part in vectors]),
        "actions": (np.concatenate(vectors) / SPEC.scale()).astype(np.float32),
        "rewards": np.arange(60, dtype=np.float32),
        "terminals": flags[0],
        "timeouts": flags[1],
        **changes,
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return arrays


def test_episodes_are_cut_where_they_end(tmp_path: Path) -> None:
    arrays = save(tmp_path / "a.hdf5")
    done = import_d4rl(D4rlConfig(tmp_path / "a.hdf5", tmp_path / "out", actions=WORDS, fps=20.0), progress=False)
    dataset = check_shift(tmp_path / "out")
    assert dataset.lengths.tolist() == [30, 20, 10] and done.frames == 60 and dataset.fps == 20
    rows = dataset.rows
    np.testing.assert_allclose(rows.actions, arrays["actions"] * SPEC.scale(), atol=1e-5)
    np.testing.assert_array_equal(rows.rewards, arrays["rewards"])
    np.testing.assert_array_equal(rows.terminated, arrays["terminals"])
    np.testing.assert_array_equal(rows.truncated, arrays["timeouts"])


def test_discrete_actions_and_files_without_ends(tmp_path: Path) -> None:
    spec = ControlSpec(keys=("a", "d"))
    numbers = np.random.default_rng(0).integers(0, 3, 40)
    vectors = np.array([[0, 0], [1, 0], [0, 1]], np.float32)[numbers]
    frames = frames_after(vectors, spec).transpose(0, 3, 1, 2)  # channels first
    save(tmp_path / "a.h5", observations=frames, actions=numbers, rewards=None, terminals=None, timeouts=None)
    import_d4rl(D4rlConfig(tmp_path / "a.h5", tmp_path / "out", actions=("none", "a", "d")), progress=False)
    assert len(check_shift(tmp_path / "out", spec)) == 1
    import_d4rl(D4rlConfig(tmp_path / "a.h5", tmp_path / "keys"), progress=False)
    assert Dataset(tmp_path / "keys").spec.keys == ("1", "2")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="must be an HDF5 file"):
        import_d4rl(D4rlConfig(path, tmp_path / "out"), progress=False)
    for changes, message in (
        ({"observations": np.zeros((60, 17), np.float32)}, r"the images have shape \(1, 17\)"),
        ({"observations": None}, "no array of that name"),
        ({"rewards": np.zeros(59)}, "different lengths"),
        ({"actions": np.full((60, 5), np.nan)}, "finite numbers"),
        ({}, "each action is 5 numbers"),
    ):
        save(path, **changes)
        words = () if not changes else WORDS
        with pytest.raises(DataError, match=message):
            import_d4rl(D4rlConfig(path, tmp_path / "out", actions=words), progress=False)
