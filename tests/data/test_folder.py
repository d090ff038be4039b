from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from worldsim.controls import ControlSpec
from worldsim.data import Dataset, Recorder
from worldsim.data.format import VIDEO_KEY, data_path, episode_path, video_path
from worldsim.errors import DataError, FileError

from .moving_square import info
from .recording import record, tree


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"fps": 35.0}, "fps"), ({"height": 48}, "height"), ({"control_spec": ControlSpec(keys=("w",))}, "control_spec")],
)
def test_another_kind_of_dataset_is_refused(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    with pytest.raises(DataError, match=f"differs: {name} "):
        Recorder(tmp_path, info(**changes))
    assert len(Dataset(tmp_path)) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("notes.tmp",),
        (".partial/film.mp4",),
        ("data/chunk-000/file-000.parquet", f"videos/{VIDEO_KEY}/chunk-000/file-000.mp4"),
        ("meta/info.jsn",),
        ("meta/.info.json.0123abcd.worldsim-tmp", "readme"),
    ],
)
def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(DataError, match=r"is no dataset .* nothing was changed: record into a new or empty folder"):
        Recorder(tmp_path, info())
    assert tree(tmp_path) == before


def test_a_dataset_without_its_meta_folder_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    shutil.rmtree(tmp_path / "meta")
    before = tree(tmp_path)
    with pytest.raises(DataError, match="is no dataset"):
        Recorder(tmp_path, info())
    assert tree(tmp_path) == before and len(before) == 2


def test_a_dataset_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text('{"codebase_version": "v3.0"}')
    with pytest.raises(DataError, match="no 'worldsim' part"):
        Recorder(tmp_path, info())


def test_what_a_killed_recorder_began_can_be_taken_up(tmp_path: Path) -> None:
    for name in ("meta/.info.json.0123abcd.worldsim-tmp", ".partial/episode-0.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    assert len(Dataset(tmp_path)) == 1 and not (tmp_path / ".partial").exists()
    assert not [name for name in tree(tmp_path) if name.endswith("tmp")]


def test_only_our_own_files_are_removed_from_a_dataset(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    kept = ("a.tmp", "data/chunk-000/file-000 (copy).parquet", "data/chunk-000/b.tmp", ".partial/film.mp4", "videos/c.tmp")
    for name in kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 3)
    assert {name: tree(tmp_path).get(name) for name in kept} == dict.fromkeys(kept, b"precious")
    assert len(Dataset(tmp_path)) == 2


def test_files_without_metadata_are_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with Recorder(tmp_path, info()) as recorder:
            record(recorder, 3)
        before = tree(tmp_path)
        episode_path(tmp_path, 0).unlink()
    with Recorder(tmp_path, info()):
        pass
    video = f"videos/{VIDEO_KEY}/chunk-000/file-000"
    aside = sorted(name for name in tree(tmp_path) if name.startswith("orphans"))
    assert aside == [f"orphans/data/chunk-000/file-000{n}.parquet" for n in (".1", "")] + [
        f"orphans/{video}{n}.mp4" for n in (".1", "")
    ]
    assert tree(tmp_path)[f"orphans/{video}.1.mp4"] == before[f"{video}.mp4"]
    assert "2 file(s) of episodes without metadata moved" in capsys.readouterr().err


def test_a_crash_between_the_files_of_an_episode(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 4, seed=1)
        record(recorder, 6, seed=2)
    episode_path(tmp_path, 1).rename(episode_path(tmp_path, 1).with_name(".file-001.parquet.0123abcd.worldsim-tmp"))
    assert [episode.seed for episode in Dataset(tmp_path).episodes] == [1]
    with Recorder(tmp_path, info()) as recorder:
        assert not video_path(tmp_path, 1).exists() and not data_path(tmp_path, 1).exists()
        record(recorder, 5, seed=3)
    assert not list(tmp_path.rglob("*tmp"))
    assert [(episode.seed, episode.first_row) for episode in Dataset(tmp_path).episodes] == [(1, 0), (3, 4)]


def test_a_read_only_folder_is_refused_at_once(full_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    with pytest.raises(FileError, match="Read-only file system"):
        Recorder(full_disk / "data", info())
