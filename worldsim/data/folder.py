"""What a recorder may do to a folder: record only where nothing else is, and remove only what it wrote itself."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from worldsim.data.format import INFO_PATH, DatasetInfo, orphans, read_info
from worldsim.data.remote import as_url, mirror
from worldsim.errors import DataError, FileError
from worldsim.files import check_writable_folder, is_temporary, named_errors, publish, remove_temporary
from worldsim.hub import download, is_hub_id

SHARED = ("meta/*.json", "meta/*.parquet", "meta/episodes/*/*.parquet", "data/*/*.parquet", "videos/*/*/*.mp4", "README.md")
ORPHANS = "orphans"  # folder of files whose episode has no metadata
PARTIAL = ".partial"  # folder of episodes being recorded
_PARTIAL_NAME = re.compile(r"(episode|train|eval)-\d+\.mp4", re.ASCII)


def find_dataset(name: str | Path) -> Path:
    """Folder of a dataset given by path, by a URL that fsspec reads, or by Hub id.

    A name such as "user/name" is one on the Hugging Face Hub where neither it nor "user" is a folder here.

    Raises:
        DataError: if the Hub or the URL was asked, and did not give it.
    """
    url = None if Path(name).exists() else as_url(name)
    if url is not None:
        return mirror(url)
    folder = Path(name)
    if not isinstance(name, str) or folder.exists() or folder.parent.exists() or not is_hub_id(name):
        return folder
    try:
        return download(name, "dataset", SHARED)
    except FileError as error:
        raise DataError(f"no dataset at {name}; {error}") from error


def check_recordable(root: str | Path, info: DatasetInfo | None = None) -> None:
    """Finds out whether a dataset can be recorded at `root`, without touching anything.

    Args:
        root: folder, there or not.
        info: what its episodes share, compared with that of a dataset that is there; None if it is not known yet.

    Raises:
        DataError: if there is anything but a dataset of the same kind.
        FileError: if it cannot be written.
    """
    root = Path(root)
    check_writable_folder(root)
    if (root / INFO_PATH).exists():
        there = read_info(root)
        if info is not None:
            _check_same(root, there, info)
        return
    with named_errors("read", root):
        foreign = [path for path in sorted(root.iterdir()) if not _is_ours(path)] if root.is_dir() else []
    if foreign:
        raise DataError(
            f"{root} is no dataset (no {INFO_PATH} in it), but holds {foreign[0].name!r}; nothing was changed: "
            "record into a new or empty folder."
        )


def clean(root: Path) -> None:
    """Clears away what a killed recorder left of an episode; the dataset must be locked.

    Temporary files, whose names only we give, are removed. Finished files of an episode without metadata are moved to
    the folder "orphans", never deleted.
    """
    remove_partial(root)
    for folder in (root / "meta", *root.glob("data/chunk-*"), *root.glob("meta/episodes/chunk-*")):
        remove_temporary(folder)
    found = orphans(root)
    for path in found:
        set_aside(root, path)
    if found:
        print(f"worldsim: {len(found)} file(s) of episodes without metadata moved to {root / ORPHANS}", file=sys.stderr)


def set_aside(root: Path, path: Path) -> Path:
    """Moves a file of a dataset to its folder of orphans, under a name that is free there; returns where it is."""
    aside = root / ORPHANS / path.relative_to(root)
    taken = sum(1 for _ in aside.parent.glob(f"{aside.stem}*")) if aside.parent.is_dir() else 0
    aside = aside.with_stem(f"{aside.stem}.{taken}") if taken else aside
    publish(path, aside)
    return aside


def remove_partial(root: Path) -> None:
    """Removes videos of episodes that were being recorded, and their folder if nothing else is in it."""
    with named_errors("clean", root):
        folder = root / PARTIAL
        for path in folder.iterdir() if folder.is_dir() else ():
            if _PARTIAL_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's files may be in it
            folder.rmdir()


def _is_ours(path: Path) -> bool:
    """Whether a recorder that was killed before it wrote `info.json` may have left this."""
    if path.is_dir() and not path.is_symlink() and path.name == "meta":
        return all(is_temporary(inner) for inner in path.iterdir())
    if path.is_dir() and not path.is_symlink() and path.name == PARTIAL:
        return all(_PARTIAL_NAME.fullmatch(inner.name) for inner in path.iterdir())
    return False


def _check_same(root: Path, old: DatasetInfo, new: DatasetInfo) -> None:
    names = [part.name for part in fields(new) if part.compare and getattr(old, part.name) != getattr(new, part.name)]
    if names:
        differences = "; ".join(f"{name} {getattr(old, name)} there, {getattr(new, name)} here" for name in names)
        raise DataError(
            f"the dataset at {root} differs: {differences}. One dataset holds one kind of recording; use another folder."
        )
