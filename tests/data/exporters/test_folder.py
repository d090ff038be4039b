from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.data.exporters.folder import new_folder
from worldsim.errors import DataError, FileError


def test_a_folder_appears_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a/b"
    with pytest.raises(RuntimeError, match="stopped"), new_folder(target) as folder:
        (folder / "file").write_text("half")
        raise RuntimeError("stopped")
    assert list((tmp_path / "a").iterdir()) == []
    target.mkdir()  # empty, so it may be replaced
    with new_folder(target) as folder:
        assert not (target / "file").exists()
        (folder / "file").write_text("whole")
    assert (target / "file").read_text() == "whole" and list(target.parent.iterdir()) == [target]


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "link"):
        with pytest.raises(DataError, match="holds something already"), new_folder(tmp_path / name):
            raise AssertionError("this is not reached")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write"), new_folder(tmp_path / "file"):
        raise AssertionError("this is not reached")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "link"]
