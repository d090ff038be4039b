from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from disks import small_disk
from numpy.typing import NDArray

from worldsim.errors import FileError
from worldsim.train.cache import cached_array


def count(array: NDArray) -> None:
    array[:] = np.arange(array.size).reshape(array.shape)


def make(path: Path, key: str = "one", calls: list[int] | None = None) -> NDArray:
    def fill(array: NDArray) -> None:
        if calls is not None:
            calls.append(1)
        count(array)

    return cached_array(path, key, np.int32, (10, 100), fill)


def test_a_full_disk_is_one_error_before_the_work(tmp_path: Path) -> None:
    calls: list[int] = []
    with small_disk(1000), pytest.raises(FileError, match=r"cannot write .*array\.bin"):
        make(tmp_path / "array.bin", calls=calls)
    assert not calls and not list(tmp_path.iterdir())


def test_space_is_taken_and_not_promised(tmp_path: Path) -> None:
    """A sparse file would end the process when the disk fills up later."""
    path = tmp_path / "array.bin"
    cached_array(path, "one", np.uint8, (1 << 20,), lambda array: None)
    assert path.stat().st_blocks * 512 >= 1 << 20


@pytest.mark.parametrize("mark", [b"", b"{", b"[]", b'{"key": "other"}', b"{}", b"\xff"])
def test_a_damaged_mark_makes_the_array_anew(mark: bytes, tmp_path: Path) -> None:
    calls: list[int] = []
    path = tmp_path / "array.bin"
    make(path, calls=calls)
    path.with_suffix(".json").write_bytes(mark)
    assert np.array_equal(make(path, calls=calls).ravel(), np.arange(1000)) and len(calls) == 2
    assert json.loads(path.with_suffix(".json").read_text()) == {"key": "one"}
    make(path, calls=calls)
    assert len(calls) == 2


def test_a_folder_in_its_place_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "array.bin").mkdir()
    with pytest.raises(FileError, match=r"cannot replace .*array\.bin: Is a directory"):
        make(tmp_path / "array.bin")


def test_a_short_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "array.bin"
    make(path)
    with path.open("r+b") as file:
        file.truncate(100)
    assert np.array_equal(make(path).ravel(), np.arange(1000))


def test_an_interrupted_array_leaves_nothing(tmp_path: Path) -> None:
    def stop(array: NDArray) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_array(tmp_path / "array.bin", "one", np.uint8, (10,), stop)
    assert not list(tmp_path.iterdir())
