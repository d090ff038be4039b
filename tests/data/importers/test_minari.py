"""Datasets that Minari itself wrote, of environments that are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from worldsim.controls import ControlSpec
from worldsim.data import Dataset
from worldsim.data.importers.config import MinariConfig
from worldsim.data.importers.minari import import_minari
from worldsim.errors import DataError

from ..shift import HEIGHT, check_shift, frames_after

minari = pytest.importorskip("minari")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")

STEPS = 30
TABLE = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
SPEC = ControlSpec(keys=("left", "right"))


def save(root: Path, monkeypatch: pytest.MonkeyPatch, jpeg: bool = False, wrapped: bool = True, start: int = 0) -> Path:
    """A dataset made with Minari's own function: Dict observations, discrete actions."""
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    buffers = []
    for seed in range(2):
        numbers = np.random.default_rng(seed).integers(0, 3, STEPS)
        frames = frames_after(np.concatenate([TABLE[numbers], np.zeros((1, 2), np.float32)]), SPEC)
        observations: Any = {"rgb": frames, "position": np.zeros((STEPS + 1, 2), np.float32)} if wrapped else frames
        ends = [t == STEPS - 1 for t in range(STEPS)]
        buffers.append(
            EpisodeBuffer(
                id=seed, seed=seed + 7, observations=observations, actions=numbers + start,
                rewards=list(range(STEPS)), terminations=ends, truncations=[False] * STEPS,
            )
        )  # fmt: skip
    picture = spaces.Box(0, 255, (HEIGHT, 2 * 16, 3), np.uint8)
    both = spaces.Dict({"rgb": picture, "position": spaces.Box(-1, 1, (2,), np.float32)})
    about = {"observation_space": both if wrapped else picture, "action_space": spaces.Discrete(3, start=start)}
    minari.create_dataset_from_buffers("theirs/game-v0", buffers, **about, jpeg_encoding=jpeg)
    return root / "theirs/game-v0"


@pytest.mark.parametrize("jpeg", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_observation_and_action_t_make_row_t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jpeg: bool, wrapped: bool) -> None:
    folder = save(tmp_path, monkeypatch, jpeg, wrapped, start=1)
    config = MinariConfig(folder, tmp_path / "out", actions=("none", "left", "right"), fps=10.0)
    import_minari(config, progress=False)
    dataset = check_shift(tmp_path / "out", SPEC)
    assert dataset.lengths.tolist() == [STEPS, STEPS] and [e.seed for e in dataset.episodes] == [7, 8] and dataset.fps == 10
    episode = dataset.episode_rows(0)
    np.testing.assert_array_equal(episode.rewards, np.arange(STEPS))
    assert episode.terminated.tolist() == [False] * (STEPS - 1) + [True]


def test_a_dataset_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, monkeypatch)
    import_minari(MinariConfig(Path("theirs/game-v0"), tmp_path / "out"), progress=False)
    dataset = Dataset(tmp_path / "out")
    assert dataset.spec.keys == ("1", "2") and len(dataset) == 2 and dataset.episodes[0].policy == "minari"


def test_what_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = save(tmp_path, monkeypatch), tmp_path / "out"
    for changes, message in (
        ({"path": tmp_path / "nowhere"}, "no Minari dataset at"),
        ({"actions": ("left",)}, "actions has 1 words; give 3"),
        ({"image": "pixels"}, "image was 'pixels'; choose from: .*rgb"),
        ({"image": "position"}, "the images have shape"),
    ):
        with pytest.raises(DataError, match=message):
            import_minari(MinariConfig(**{"path": folder, "out": out, **changes}), progress=False)  # type: ignore[arg-type]
    (folder / "data/main_data.hdf5").write_bytes(b"damaged")
    with pytest.raises(DataError, match="it is damaged, or no Minari dataset"):
        import_minari(MinariConfig(folder, out), progress=False)
    assert not out.exists()
