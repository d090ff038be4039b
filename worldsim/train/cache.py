"""Large arrays that are made once, kept in a run folder, and mapped into memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim import files
from worldsim.train import distributed


def cached_array(
    path: Path, key: str, dtype: type[np.generic] | np.dtype, shape: tuple[int, ...], fill: Callable[[NDArray], None]
) -> NDArray:
    """An array from its file, which is made first if it is missing, damaged, truncated, or of another key.

    All of its space is reserved before any work: a full disk would otherwise end the process in the middle (SIGBUS). The array
    is made under a temporary name, so a kill at any moment leaves either a whole file or none. Several processes fill it
    together: the first makes room and publishes the file, and each writes its part.

    Args:
        path: of the file; its key stands beside it, under the suffix ".json".
        key: names what the array holds.
        dtype, shape: of the array.
        fill: writes all of it, or of several processes each its part.

    Returns:
        A read-only memory map.

    Raises:
        FileError: if there is no room for it, or a folder is in its place.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not distributed.tell(is_current(path, key, size)):
        main, mark = distributed.is_main(), path.with_suffix(".json")
        for stale in (mark, path) if main else ():  # the old one makes room for the new
            with files.named_errors("replace", stale):
                stale.unlink(missing_ok=True)
        with files.replacing(path) if main else nullcontext() as made:
            if made is not None:
                files.allocate(made, size)
            there = distributed.tell(made)
            assert there is not None
            array = np.memmap(there, dtype=dtype, mode="r+", shape=shape)
            fill(array)
            array.flush()
            distributed.wait()
        if main:
            files.write_json(mark, {"key": key})
        distributed.wait()
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def is_current(path: Path, key: str, size: int) -> bool:
    """Whether the file at `path` is whole, of `size` bytes, and of that key."""
    try:
        mark = json.loads(path.with_suffix(".json").read_bytes())
        return bool(mark["key"] == key and path.stat().st_size == size)
    except (OSError, ValueError, TypeError, KeyError):
        return False
