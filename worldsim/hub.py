"""The Hugging Face Hub: what is shared there goes up and comes down through the package huggingface_hub.

Its own settings count: where you are logged in, `HF_HOME` for the cache, `HF_HUB_OFFLINE=1` for using the
cache alone, `HF_ENDPOINT` for another server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from worldsim.errors import FileError, WorldsimError, printable, shown

Kind = Literal["model", "dataset"]  # as the Hub calls a world, and a dataset
ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
FILES_PER_COMMIT = 500


def is_hub_id(name: str) -> bool:
    """Whether a name could be one on the Hub, "user/name"."""
    return ID.fullmatch(name) is not None and ".." not in name


def download(name: str, kind: Kind, patterns: Sequence[str]) -> Path:
    """Folder in the Hub's cache with the newest version of a world or dataset; offline, with the one that was
    downloaded last.

    Args:
        name: on the Hub, "user/name".
        kind: of what it is.
        patterns: of the files that are wanted, such as "data/*/*.parquet"; others are not downloaded.

    Raises:
        FileError: if huggingface_hub is not installed, or the Hub does not give it.
    """
    hub = _hub(name)
    with _named(f"the Hugging Face Hub did not give {shown(name)}"):
        return Path(hub.snapshot_download(name, repo_type=kind, allow_patterns=list(patterns)))


def upload(files: Mapping[str, Path | bytes], name: str, kind: Kind, *, private: bool = False, message: str) -> str:
    """Makes a repository on the Hub, if it is not there yet, and puts files into it. Others that are in it
    stay.

    Args:
        files: name in the repository -> file, or its content. They go up in this order, so that what names
            the others may come last.
        name: on the Hub, "user/name".
        kind: of what it is.
        private: whether a new repository is for you alone.
        message: of the commit.

    Returns:
        Address of the repository.

    Raises:
        FileError: if huggingface_hub is not installed, or the Hub refuses; what went up before that stays.
    """
    if not is_hub_id(name):
        raise FileError(f"repo was {shown(name)}; give a user and a name, such as me/my-world.")
    hub = _hub(name)
    with _named(f"the Hugging Face Hub did not take {shown(name)}"):
        api = hub.HfApi()
        address = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        parts = list(files.items())
        for first in range(0, len(parts), FILES_PER_COMMIT):
            added = [hub.CommitOperationAdd(there, here) for there, here in parts[first : first + FILES_PER_COMMIT]]
            api.create_commit(name, added, commit_message=message, repo_type=kind)
        return str(address)


def downloaded(kind: Kind) -> Iterator[tuple[str, Path]]:
    """Names and newest folders of what is in the Hub's cache, without asking the Hub; nothing where there is
    no cache.
    """
    try:
        from huggingface_hub import constants, scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return
    try:
        found = sorted(scan_cache_dir(constants.HF_HUB_CACHE).repos, key=lambda repo: repo.repo_id)
    except (CacheNotFound, OSError, ValueError):
        return
    for repo in found:
        if repo.repo_type == kind and repo.revisions:
            yield repo.repo_id, max(repo.revisions, key=lambda revision: revision.last_modified).snapshot_path


def check_inside(path: Path, folder: Path, error: Callable[[str], WorldsimError] = FileError) -> None:
    """Raises `error` if a file, where it exists, is reached by a link that leads out of its folder.

    The cache of the Hub is a folder of links to one beside it; those are welcome.
    """
    if not path.exists():
        return
    real, homes = path.resolve(), [folder.resolve()]
    if homes[0].parent.name == "snapshots":
        homes.append(homes[0].parent.parent / "blobs")
    if not any(real.is_relative_to(home) for home in homes):
        raise error(f"{path} is a link that leads out of {folder}; put the file itself in its place.")


def _hub(name: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise FileError(f'to ask the Hugging Face Hub for {shown(name)}: pip install "worldsim-dit[hub]".') from error
    return huggingface_hub


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turns whatever the Hub's package raises into one line."""
    try:
        yield
    except WorldsimError:
        raise
    except Exception as error:  # there are dozens of kinds, of several packages
        said = " ".join(str(error).split()) or type(error).__name__
        hint = " Log in first: hf auth login." if "401" in said or "403" in said else ""
        raise FileError(f"{what}: {printable(said, 500).rstrip('.')}.{hint}") from error
