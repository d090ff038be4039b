"""Datasets elsewhere, at a URL that fsspec reads: s3://, gs://, https://, memory:// and many more.

Metadata is fetched when the dataset is opened, and each episode when it is first read. So a process that encodes a share of the
episodes fetches that share alone. Recordings never change; a file that is here with the right size is not fetched again.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldsim import files
from worldsim.errors import DataError, WorldsimError, printable, shown

PATTERNS = ("meta/*.json", "meta/*.parquet", "meta/episodes/*/*.parquet", "data/*/*.parquet", "videos/*/*/*.mp4")
MIRROR = "mirror.json"  # in the folder of the local copy: where the dataset is, and the sizes of its files
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)", re.IGNORECASE)


def as_url(name: str | Path) -> str | None:
    """The URL in a name, also where it went through a `Path`, which drops a slash; None for an ordinary path."""
    match = _URL.fullmatch(str(name).replace("\\", "/"))
    if match is None or match[1].lower() == "file":
        return None
    return f"{match[1]}://{match[2]}".rstrip("/")


def mirror(url: str) -> Path:
    """Folder of the local copy of a dataset at a URL, with all metadata and those episodes that were read before.

    Raises:
        DataError: if fsspec cannot read it, or there is no dataset.
        FileError: if there is no room for it.
    """
    folder = files.cache_folder() / "datasets" / hashlib.sha256(url.encode()).hexdigest()[:16]
    with _named(url):
        system, root = _open(url)
        sizes = {name: size for name, size in _listing(system, root) if any(fnmatch.fnmatch(name, p) for p in PATTERNS)}
    if "meta/info.json" not in sizes:
        raise DataError(f"no dataset at {shown(url, 200)} (no meta/info.json in it); check the address.")
    files.write_json(folder / MIRROR, {"url": url, "sizes": sizes})
    there = Mirror(folder)
    for name in sizes:
        if name.startswith("meta/"):
            there.fetch(folder / name)
    return folder


class Mirror:
    """The local copy of a dataset elsewhere.

    Args:
        folder: that `mirror` made.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        noted = files.read_json(folder / MIRROR, "url", "sizes")
        self.url, self.sizes = str(noted["url"]), {str(name): int(size) for name, size in noted["sizes"].items()}
        self._system: Any = None

    @classmethod
    def of(cls, folder: Path) -> Mirror | None:
        """The mirror in a folder, or None for a dataset that is here."""
        return cls(folder) if (folder / MIRROR).is_file() else None

    def size(self, path: Path) -> int:
        """Bytes of a file of the dataset, fetched or not; 0 if there is none."""
        return self.sizes.get(path.relative_to(self.folder).as_posix(), 0)

    def fetch(self, path: Path) -> None:
        """Copies a file of the dataset here, unless it is here.

        Raises:
            DataError: if it cannot be read there.
        """
        name = path.relative_to(self.folder).as_posix()
        if name not in self.sizes or (path.is_file() and path.stat().st_size == self.sizes[name]):
            return
        with _named(self.url), files.replacing(path) as temporary:
            if self._system is None:
                self._system = _open(self.url)
            system, root = self._system
            system.get_file(f"{root}/{name}", str(temporary))
            if temporary.stat().st_size != self.sizes[name]:
                raise DataError(f"{self.url}/{name} has changed since the dataset was opened; open it again.")


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the dataset's root in it."""
    import fsspec

    system, root = fsspec.core.url_to_fs(url)
    return system, str(root).rstrip("/")


def _listing(system: Any, root: str) -> Iterator[tuple[str, int]]:
    """Names below the root, and sizes."""
    found = system.find(root, detail=True)
    unknown = [path for path, info in found.items() if info.get("size") is None]
    asked = dict(zip(unknown, system.sizes(unknown), strict=True)) if unknown else {}
    for path, info in found.items():
        size = info["size"] if info.get("size") is not None else asked[path]
        name = path.removeprefix(root).lstrip("/")
        if size is not None and ".." not in name.split("/"):
            yield name, int(size)


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Turns whatever a file system of fsspec raises into one line."""
    try:
        yield
    except WorldsimError:
        raise
    except ImportError as error:
        raise DataError(f'{shown(url, 200)} needs another package ({error}): pip install "worldsim-dit[remote]".') from error
    except Exception as error:  # every file system has its own kinds
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{shown(url, 200)} cannot be read: {printable(said, 300).rstrip('.')}.") from error
