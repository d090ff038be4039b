from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from worldsim import files
from worldsim.errors import FileError

ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"
    files.write_text(path, "old\n")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        assert files.is_temporary(temporary) and temporary.parent == path.parent and temporary.is_absolute()
        raise RuntimeError
    assert path.read_text() == "old\n" and names(path.parent) == ["a.txt"]
    files.write_bytes(path, b"new\n")
    assert path.read_text() == "new\n" and names(path.parent) == ["a.txt"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    files.write_text(tmp_path / "ours", "")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_links_stay_and_their_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    files.write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_devices_and_pipes_are_written_to_not_replaced(tmp_path: Path) -> None:
    files.write_text("/dev/null", "gone")
    assert not Path("/dev/null").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_json(pipe, {"a": 1})
    assert os.read(reader, 100) == b'{\n  "a": 1\n}\n'
    os.close(reader)
    with pytest.raises(FileError, match="not a plain file"), files.replacing(pipe):
        pass


@pytest.mark.parametrize("name", ["10:30.json", "run:1/a", "n" * 255, "ß" * 127])
def test_any_name_of_the_file_system_will_do(tmp_path: Path, name: str) -> None:
    files.write_text(tmp_path / name, "x")
    assert files.read_text(tmp_path / name) == "x"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 256, "File name too long"),
        ("a/" * 2500 + "b", "File name too long"),
        ("x\0y", "null character"),
        (".", "is a folder"),
    ],
)
def test_impossible_names_are_named_errors(tmp_path: Path, name: str, message: str) -> None:
    for call in (lambda path: files.write_text(path, ""), files.check_writable):
        with pytest.raises(FileError, match=message) as caught:
            call(tmp_path / name)
        assert len(str(caught.value)) < 400
    assert not names(tmp_path)


def test_a_full_disk_is_one_error_and_loses_nothing(full_disk: Path) -> None:
    path = full_disk / "a.json"
    files.write_json(path, {"old": True})
    (full_disk / "big").write_bytes(bytes(200_000))
    with pytest.raises(FileError, match=r"cannot write .*a\.json: No space left on device. Free some space"):
        files.write_bytes(path, bytes(100_000))
    with pytest.raises(FileError, match="No space left"):
        files.allocate(full_disk / "map", 100_000)
    assert files.read_json(path) == {"old": True} and names(full_disk) == ["a.json", "big"]
    with pytest.raises(FileError, match="No space left"):
        files.write_text("/dev/full", "x")


def test_a_read_only_disk_is_found_before_the_work(full_disk: Path) -> None:
    files.check_writable(full_disk / "a")
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    for path in (full_disk / "a", full_disk / "new" / "a"):
        with pytest.raises(FileError, match=r"Read-only file system\. Give another place"):
            files.check_writable(path)
        with pytest.raises(FileError, match="Read-only file system"):
            files.write_text(path, "x")
    with pytest.raises(FileError, match="Read-only"):
        files.check_writable_folder(full_disk)


def test_outputs_are_checked_without_touching_anything(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files.check_writable(tmp_path / "a" / "b" / "clip.MP4", (".mp4", ".gif"))
    files.check_writable("/dev/null")
    files.check_writable_folder(tmp_path / "new" / "er")
    with pytest.raises(FileError, match=r"give a name that ends in \.mp4 or \.gif"):
        files.check_writable(tmp_path / "clip.png", (".mp4", ".gif"))
    with pytest.raises(FileError, match="is a folder"):
        files.check_writable(tmp_path)
    for check in (files.check_writable, files.check_writable_folder):
        with pytest.raises(FileError, match="Not a directory"):
            check(tmp_path / "file" / "a")
    with pytest.raises(FileError, match="Not a directory"):
        files.check_writable_folder(tmp_path / "file")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(ROOT_USER, reason="root may write anywhere")
def test_missing_permission_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="Permission denied"):
        files.check_writable(tmp_path / "a")
    tmp_path.chmod(0o700)


def test_allocated_files_have_their_size(tmp_path: Path) -> None:
    for size in (0, 3, (1 << 20) + 5):
        files.allocate(tmp_path / "map", size)
        assert (tmp_path / "map").stat().st_size == size


@dataclass
class Point:
    x: float
    path: Path


def test_json_takes_what_programs_hold(tmp_path: Path) -> None:
    content = {
        "point": Point(1.5, Path("a")),
        "numpy": [np.float32(0.5), np.int64(3), np.bool_(True), np.arange(2), np.float64("nan")],
        "inf": float("inf"),
        3: (1, {2}),
    }
    files.write_json(tmp_path / "a.json", content)
    assert files.read_json(tmp_path / "a.json") == {
        "point": {"x": 1.5, "path": "a"},
        "numpy": [0.5, 3, True, [0, 1], None],
        "inf": None,
        "3": [1, [2]],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"a": 1', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1, 2]", "holds a JSON list instead of an object"),
        (b'"text"', "holds a JSON str"),
        (b"{}", "has no field 'key'"),
        (b"\xff\xfe{}", "is not UTF-8"),
    ],
)
def test_bad_json_names_its_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FileError, match=rf"a\.json {message}"):
        files.read_json(tmp_path / "a.json", "key")


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for name in ("pipe", "."):
        with pytest.raises(FileError, match="not a plain file"):
            files.read_json(tmp_path / name)
    with pytest.raises(FileError, match=r"cannot read .*missing: No such file or directory"):
        files.read_text(tmp_path / "missing")


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    ours = tmp_path / ".a.json.0123abcd.worldsim-tmp"
    for path in (ours, tmp_path / "a.tmp", tmp_path / "x.worldsim-tmp", tmp_path / ".a.0123abcg.worldsim-tmp"):
        path.touch()
    kept = set(names(tmp_path)) - {ours.name}
    files.remove_temporary(tmp_path)
    assert set(names(tmp_path)) == kept
    files.remove_temporary(tmp_path / "missing")


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with files.lock(folder, "training in") as held:
        with pytest.raises(FileError, match=r"another process is training in .*new; wait for it"):
            files.lock(folder, "training in")
        held.release()
        files.lock(folder, "training in").release()


def test_a_lock_is_released_when_its_user_fails(tmp_path: Path) -> None:
    class User:
        def __init__(self) -> None:
            with ExitStack() as undo:
                self.lock = undo.enter_context(files.lock(tmp_path, "using"))
                raise RuntimeError

    with pytest.raises(RuntimeError):
        User()
    files.lock(tmp_path, "using").release()


FORKED = """
import os, sys
from worldsim import files
held = files.lock(sys.argv[1], "using")
if (child := os.fork()) == 0:
    held.release()
    os._exit(0)
os.waitpid(child, 0)
try:
    files.lock(sys.argv[1], "using")
except files.FileError:
    print("still held")
"""


def test_a_forked_child_does_not_release_its_parents_lock(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "still held\n"


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_systems_without_locks_are_announced(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    def flock(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.lock(tmp_path, "recording into"):
        pass
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "cannot be locked" in message and "nothing else is recording into it" in message
