"""Exported datasets come back whole. Where WORLDSIM_LEROBOT names a Python that has lerobot, that reads them too."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.data.exporters import lerobot
from worldsim.data.exporters.lerobot import export_lerobot
from worldsim.data.importers.config import LeRobotConfig
from worldsim.data.importers.lerobot import import_lerobot
from worldsim.errors import DataError

from ..shift import FPS, HEIGHT, SPEC, WIDTH, check_shift, controls, frames_after

REAL = Path(__file__).with_name("read_lerobot.py")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    root = tmp_path / "recorded"
    with Recorder(root, DatasetInfo("my/game", SPEC, HEIGHT, WIDTH, FPS, frame_skip=3, lossless=True, state=("x",))) as recorder:
        for seed in range(3):
            vectors, rng = controls(20 + seed, seed), np.random.default_rng(seed)
            recorder.begin(seed=seed, policy=f"p{seed}", split="eval" if seed == 1 else "train")
            for t, (frame, vector) in enumerate(zip(frames_after(vectors), vectors, strict=True)):
                last = t == len(vectors) - 1
                state = rng.normal(size=1)
                recorder.append(frame, vector, float(rng.normal()), last and seed < 2, last and seed == 2, state=state)
            recorder.end()
    return root


@pytest.mark.parametrize("rows_per_file", [10**6, 41])
def test_nothing_is_lost_on_the_way_there_and_back(
    tmp_path: Path, recorded: Path, rows_per_file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lerobot, "ROWS_PER_FILE", rows_per_file)
    export_lerobot(Dataset(recorded), tmp_path / "out", progress=False)
    assert len(list((tmp_path / "out/data").rglob("*.parquet"))) == (1 if rows_per_file > 41 else 2)
    import_lerobot(LeRobotConfig(tmp_path / "out", tmp_path / "back", lossless=True), progress=False)
    back, dataset = check_shift(tmp_path / "back"), Dataset(recorded)
    assert back.info == dataset.info
    for i in range(3):
        there, here = dataset.episode(i), back.episode(i)
        for name in ("frames", "actions", "rewards", "terminated", "truncated", "states"):
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name), err_msg=name)
        assert (here.info.seed, here.info.policy, here.info.split) == (there.info.seed, there.info.policy, there.info.split)


def test_one_split_is_numbered_from_zero(tmp_path: Path, recorded: Path) -> None:
    export_lerobot(Dataset(recorded, "eval"), tmp_path / "out", progress=False)
    table = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet").to_pydict()
    assert set(table["episode_index"]) == {0} and table["index"] == list(range(21))
    assert json.loads((tmp_path / "out/meta/info.json").read_text())["total_episodes"] == 1
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    np.testing.assert_allclose(stats["action"]["mean"], Dataset(recorded, "eval").rows.actions.mean(0), atol=1e-6)


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path: Path, recorded: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something already"):
        export_lerobot(Dataset(recorded), tmp_path / "out", progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mine.txt"]


@pytest.mark.skipif("WORLDSIM_LEROBOT" not in os.environ, reason="WORLDSIM_LEROBOT names no Python with lerobot")
def test_lerobot_reads_what_is_exported(tmp_path: Path, recorded: Path) -> None:
    export_lerobot(Dataset(recorded), tmp_path / "out", progress=False)
    command = [os.environ["WORLDSIM_LEROBOT"], str(REAL), str(tmp_path / "out"), str(tmp_path / "read.npz")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(command, capture_output=True, text=True, env={**environment, "HF_HUB_OFFLINE": "1"})
    assert run.returncode == 0, run.stderr
    found, dataset = np.load(tmp_path / "read.npz"), Dataset(recorded)
    np.testing.assert_array_equal(found["action"], dataset.rows.actions)
    np.testing.assert_array_equal(found["reward"].reshape(-1), dataset.rows.rewards)
    np.testing.assert_array_equal(found["episode"], np.repeat([0, 1, 2], dataset.lengths))
    frames = np.concatenate([dataset.frames(i) for i in range(3)])
    assert np.abs(found["frames"].transpose(0, 2, 3, 1) * 255 - frames).max() < 1.5
