"""Round trips through Minari itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.data.exporters.minari import export_minari
from worldsim.data.importers.config import MinariConfig
from worldsim.data.importers.minari import import_minari
from worldsim.errors import DataError

from ..shift import FPS, HEIGHT, SPEC, WIDTH, check_shift, controls, frames_after

minari = pytest.importorskip("minari")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Three lossless episodes with states; the motions are not multiples of anything."""
    root = tmp_path / "recorded"
    info = DatasetInfo("my/game", SPEC, HEIGHT, WIDTH, FPS, frame_skip=3, lossless=True, state=("x", "y"))
    with Recorder(root, info) as recorder:
        for seed in range(3):
            rng, vectors = np.random.default_rng(seed), controls(20 + seed, seed)
            vectors[:, 2:4] = rng.uniform(-10, 10, (len(vectors), 2))
            recorder.begin(seed=2**64 - 1 - seed, policy=f"p{seed}", split="eval" if seed == 1 else "train", begun_at=seed)
            for t, (frame, vector) in enumerate(zip(frames_after(vectors), vectors, strict=True)):
                ends = (t == len(vectors) - 1 and seed < 2, t == len(vectors) - 1 and seed > 0)
                recorder.append(frame, vector, float(rng.normal()), *ends, state=rng.normal(size=2))
            recorder.end()
    return root


def test_nothing_is_lost_on_the_way_there_and_back(tmp_path: Path, recorded: Path) -> None:
    dataset = Dataset(recorded)
    export_minari(dataset, tmp_path / "my-game-v0", progress=False)
    import_minari(MinariConfig(tmp_path / "my-game-v0", tmp_path / "back", lossless=True), progress=False)
    back = check_shift(tmp_path / "back")
    assert back.info == dataset.info
    for i in range(3):
        there, here = dataset.episode(i), back.episode(i)
        for name in ("frames", "actions", "rewards", "terminated", "truncated", "states"):
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name), err_msg=name)
        assert (here.info.seed, here.info.policy, here.info.split) == (there.info.seed, there.info.policy, there.info.split)
        assert here.info.begun_at == there.info.begun_at


def test_minari_reads_what_is_exported(tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    export_minari(Dataset(recorded), tmp_path / "my-game-v0", progress=False)
    found = minari.load_dataset("my-game-v0")
    assert found.total_episodes == 3 and found.total_steps == 63
    assert found.action_space == SPEC.action_space() and found.observation_space.shape == (HEIGHT, WIDTH, 3)
    for ours, theirs in zip(map(Dataset(recorded).episode, range(3)), found.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(theirs.observations[:-1], ours.frames)  # not one pixel differs
        np.testing.assert_array_equal(theirs.observations[-1], ours.frames[-1])
        np.testing.assert_array_equal(theirs.actions["keys"], ours.actions[:, :2])
        np.testing.assert_allclose(theirs.actions["mouse"] * 10, ours.actions[:, 2:4], rtol=1e-6)
        np.testing.assert_array_equal(theirs.infos["controls"][1:], ours.actions)
        assert all(found.action_space.contains({k: v[t] for k, v in theirs.actions.items()}) for t in range(len(theirs)))


def test_a_name_that_minari_refuses_and_a_folder_with_something_in_it(tmp_path: Path, recorded: Path) -> None:
    for name in ("game", "a b-v0", "game-v"):
        with pytest.raises(DataError, match="Minari names datasets with a version at the end"):
            export_minari(Dataset(recorded), tmp_path / name, progress=False)
    (tmp_path / "game-v0").mkdir()
    (tmp_path / "game-v0/mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something already"):
        export_minari(Dataset(recorded), tmp_path / "game-v0", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["game-v0", "recorded"]
