"""Compiled graphs in the user's cache folder: written whole or not at all, rebuilt where damaged, safe to delete at any time."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from worldsim.errors import FileError
from worldsim.files import cache_folder, read_json, write_json

FORMAT = 3  # of what is kept here; raised whenever graphs are made in another way
DIGEST = "sha256"  # file in an entry, with the hash of all others


def graph_folder(world_hash: str) -> Path | None:
    """Where this machine keeps the graphs of a world, for this version of OpenVINO and this processor; None for nowhere."""
    try:
        place = cache_folder()
    except FileError:
        return None
    processor = re.sub(r"\W+", "-", f"{platform.machine()}-{processor_name()}").strip("-")
    return place / "graphs" / f"{world_hash}-{FORMAT}-openvino-{version('openvino')}-{processor}"


def processor_name() -> str:
    """Model of the processor, or an empty string."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def keep(path: Path, write: Callable[[Path], None]) -> Path | None:
    """Lets `write` fill a temporary folder and moves it to `path`; None where the cache cannot be written, which is not an error.

    Of two processes that write the same, the first one's stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError:
        return None
    try:
        write(temporary)
        (temporary / DIGEST).write_text(_digest(temporary))
        if not path.exists():
            temporary.replace(path)
        return path
    except OSError:
        return path if path.exists() else None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_whole(path: Path) -> bool:
    """Whether `path` holds what `keep` put there, byte for byte."""
    try:
        return (path / DIGEST).read_bytes() == _digest(path).encode()
    except OSError:
        return False


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name != DIGEST:
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def keep_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a small JSON file; does nothing where the cache cannot be written."""
    with suppress(FileError):
        write_json(path, values)


def kept_json(path: Path) -> dict[str, Any] | None:
    """What `keep_json` wrote; None where there is nothing readable."""
    try:
        return read_json(path)
    except FileError:
        return None


def clear_cache() -> int:
    """Deletes all compiled graphs; returns the bytes freed.

    Raises:
        FileError: as for `cache_folder`.
    """
    folder = cache_folder() / "graphs"
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    shutil.rmtree(folder, ignore_errors=True)
    return freed
