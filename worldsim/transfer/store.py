"""Finished runs on disk, so that an interrupted `worldsim transfer` goes on where it was."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from worldsim.errors import FileError
from worldsim.files import plain, read_json, write_bytes, write_json
from worldsim.scale.folders import Files, write_files

Result = dict[str, Any]
NOTES = "notes.json"  # of a training, beside its policies


class Store:
    """Results and policies by name, each with the key (settings as JSON) that it was made with; another key makes it anew.

    Damaged or missing files are also made anew, and one line on stderr reports it.

    Args:
        root: folder.
        shared: settings that everything depends on.
    """

    def __init__(self, root: Path, shared: Result) -> None:
        self.root, self.shared, self._looking = root, shared, False

    def is_finished(self, make: Callable[[], object]) -> bool:
        """Whether `make` finds all results that it asks for; it makes none."""
        self._looking = True
        try:
            make()
        except _UnfinishedError:
            return False
        finally:
            self._looking = False
        return True

    def adopt(self, files: Files) -> None:
        """Takes in files of a store on another machine, policies before results; what is here under their names goes."""
        policies = {name: content for name, content in files.items() if name.startswith("policies/")}
        for training in sorted({name.split("/")[1] for name in policies}):
            folder = self.root / "policies" / training
            part, inside = _new_part(folder), f"policies/{training}/"
            write_files(part, {name.removeprefix(inside): policies[name] for name in policies if name.startswith(inside)})
            _finish(part, folder)
        for name in sorted(files.keys() - policies.keys()):
            write_bytes(self.root / name, files[name].tobytes())

    def result(self, name: str, key: Result, make: Callable[[], Result]) -> Result:
        """What `make` gives, with the `seconds` it took; from disk where it was made before with the same key."""
        path, key = self.root / "runs" / f"{name}.json", plain({**key, **self.shared})
        found = _read(path, key)
        if found is not None:
            return found
        if self._looking:
            raise _UnfinishedError
        print(f"{name} ...", flush=True)
        begun = time.monotonic()
        made = plain({**make(), "seconds": time.monotonic() - begun})
        write_json(path, {"key": key, "result": made})
        return made

    def policies(self, name: str, key: Result, train: Callable[[Path], list[Result]]) -> tuple[list[Path], list[Result]]:
        """Files of a training, in order, and what it noted of each; trained only where they are not there yet.

        Args:
            name, key: of the training.
            train: writes .safetensors files, whose names sort, into the folder it is given, and returns a note for each.
        """
        folder, key = self.root / "policies" / name, plain({**key, **self.shared})
        stored = _read(folder / NOTES, key)
        if stored is not None and stored.get("files") != _hashes(folder, stored.get("files") or ()):
            print(f"policies in {folder} are damaged or incomplete; they are trained again.", file=sys.stderr)
            stored = None
        if stored is None:
            part = _new_part(folder)
            stored = plain({"notes": train(part), "files": _hashes(part, [path.name for path in part.glob("*.safetensors")])})
            write_json(part / NOTES, {"key": key, "result": stored})
            _finish(part, folder)
        return [folder / file for file in sorted(stored["files"])], stored["notes"]


def _new_part(folder: Path) -> Path:
    """An empty folder beside `folder`, under a name that nobody else gives."""
    part = folder.with_name(f".{folder.name}.worldsim-part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _finish(part: Path, folder: Path) -> None:
    """Moves what is in `part` to `folder`, the notes last; other files there stay."""
    folder.mkdir(exist_ok=True)
    (folder / NOTES).unlink(missing_ok=True)
    for file in sorted(part.iterdir(), key=lambda file: file.name == NOTES):
        file.replace(folder / file.name)
    part.rmdir()


class _UnfinishedError(Exception):
    """A result is not there."""


def _read(path: Path, key: Result) -> Result | None:
    """What was stored under the same key; None if nothing was, or it is damaged."""
    if not path.exists():
        return None
    try:
        content = read_json(path, "key", "result")
    except FileError as error:
        print(f"{error} It is made again.", file=sys.stderr)
        return None
    return content["result"] if content["key"] == key and isinstance(content["result"], dict) else None


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hash of each policy's file that is there, by its name."""
    there = [folder / Path(name).name for name in sorted(names) if (folder / Path(name).name).is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there}
