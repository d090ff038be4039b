from __future__ import annotations

from pathlib import Path

from worldsim.scale.folders import read_files, unpacked, write_files


def test_a_folder_arrives_as_it_was_sent(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    (sent / "inner").mkdir(parents=True)
    (sent / "config.json").write_text("{}")
    (sent / "inner" / "empty").touch()
    files = read_files(sent)
    with unpacked(files) as folder:
        there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert there == {"config.json": b"{}", "inner/empty": b""}
    assert not folder.exists()
    assert read_files(write_files(tmp_path / "again", files)).keys() == files.keys()
