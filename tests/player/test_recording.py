from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.player.recording import Recordings
from worldsim.world import read_config


@contextmanager
def full_disk(free: int = 0) -> Iterator[None]:
    """Lets no file grow beyond `free` bytes: the system refuses more, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Player:
    """Plays noise into recordings."""

    def __init__(self, world: Path, folder: Path, eval_share: float = 0.0) -> None:
        self.config, self.notices = read_config(world), list[str]()
        self.recordings = Recordings(folder, self.config, eval_share=eval_share, notices=self.notices)
        self.rng = np.random.default_rng(0)

    def play(self, source: str, frames: int, *, ends: bool = False) -> None:
        shape, vector = (self.config.height, self.config.width, 3), self.config.control_spec.to_vector(Controls())
        for t in range(frames):
            frame = self.rng.integers(256, size=shape, dtype=np.uint8)
            self.recordings.append(source, frame, vector, 1.0, ends and t == frames - 1, False, {}, seed=1)


@pytest.fixture
def player(tiny_world_path: Path, tmp_path: Path) -> Player:
    return Player(tiny_world_path, tmp_path / "recordings")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_a_session_fills_one_dataset_a_source(player: Player) -> None:
    for frames in (5, 7):
        player.recordings.start(["dream", "real"])
        player.play("dream", frames)
        player.play("real", 2 * frames)
        player.recordings.stop()
    folders = sorted(player.recordings.folder.iterdir())
    assert [Dataset(folder).lengths.tolist() for folder in folders] == [[5, 7], [10, 14]]
    assert player.notices[-1] == f"saved 21 frames to {folders[0]}, {folders[1]}"


def test_labels_are_asked_for_once_an_episode(player: Player) -> None:
    recordings = player.recordings
    assert not recordings.begins("dream")
    recordings.start(["dream"])
    assert recordings.begins("dream") and not recordings.begins("real")
    player.play("dream", 1)
    assert not recordings.begins("dream")
    recordings.end_episode("dream")
    assert recordings.begins("dream")
    recordings.stop()


def test_what_is_not_recorded_is_not_kept(player: Player) -> None:
    player.play("dream", 3)
    player.recordings.start(["real"])
    player.play("dream", 3)
    player.recordings.stop()
    assert files(player.recordings.folder) == [], "nothing was played, so nothing is left behind"


def test_a_share_of_the_frames_is_held_out(tiny_world_path: Path, tmp_path: Path) -> None:
    player = Player(tiny_world_path, tmp_path, eval_share=0.25)
    player.recordings.start(["dream"])
    for _ in range(9):
        player.play("dream", 4, ends=True)
    player.recordings.stop()
    data = Dataset(next(tmp_path.iterdir()))
    assert [episode.split for episode in data.episodes].count("eval") == 2
    assert data.episodes[0].split == "train" and data.episodes[1].split == "eval"
    assert len(Dataset(data.root, "eval")) == 2


def test_a_disk_that_fills_up_costs_the_running_episode_alone(player: Player) -> None:
    player.recordings.start(["dream"])
    player.play("dream", 6, ends=True)
    with full_disk(20_000):
        player.play("dream", 200)
        assert not player.recordings.on
    assert "recording stopped, 1 episode saved" in player.notices[-1]
    player.play("dream", 3)  # goes on without recording
    (folder,) = player.recordings.folder.iterdir()
    assert Dataset(folder).lengths.tolist() == [6]
    assert not [path for path in folder.rglob("*") if "tmp" in path.name or "partial" in path.name]
    player.recordings.start(["dream"])
    player.play("dream", 4)
    player.recordings.stop()
    assert Dataset(folder).lengths.tolist() == [6, 4], "with room again, it goes on where it stopped"


def test_a_disk_full_from_the_start_leaves_nothing(player: Player) -> None:
    with full_disk():
        player.recordings.start(["dream"])
    assert not player.recordings.on and files(player.recordings.folder) == []
    assert player.notices[-1].startswith("recording stopped, 0 episodes saved: ")


def test_a_folder_that_cannot_be_written_is_one_line(tiny_world_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    player = Player(tiny_world_path, tmp_path / "file")
    player.recordings.start(["dream"])
    assert not player.recordings.on and len(player.notices) == 1 and "\n" not in player.notices[0]


def test_a_folder_that_vanishes_stops_the_recording(player: Player) -> None:
    player.recordings.start(["dream"])
    player.play("dream", 3)
    shutil.rmtree(player.recordings.folder)
    player.recordings.stop()
    assert not player.recordings.on and "recording stopped" in player.notices[-1]
