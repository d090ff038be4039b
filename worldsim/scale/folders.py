"""Folders that are sent to machines which do not see this one's files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Files = Mapping[str, NDArray[np.uint8]]  # path below the folder -> bytes


def read_files(root: Path) -> Files:
    """The bytes of every file below a folder."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): np.fromfile(path, np.uint8) for path in paths}


def write_files(root: Path, files: Files) -> Path:
    """Writes them below a folder, which is made; returns it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(path)
    return root


@contextmanager
def unpacked(files: Files) -> Iterator[Path]:
    """A temporary folder that holds them."""
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        yield write_files(Path(folder), files)
