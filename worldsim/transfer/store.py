"""Finished runs on disk, so that an interrupted `worldsim transfer` goes on where it was."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.errors import FileError
from worldsim.files import plain, read_json, write_bytes, write_json
from worldsim.scale.folders import Files, write_files

Result = dict[str, Any]


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
            part, inside = folder.with_name(f"{training}.part"), f"policies/{training}/"
            for old in (folder, part):
                shutil.rmtree(old, ignore_errors=True)
            write_files(part, {name.removeprefix(inside): policies[name] for name in policies if name.startswith(inside)})
            part.rename(folder)
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
        stored = _read(folder / "notes.json", key)
        if stored is not None and stored.get("files") != _hashes(folder):
            print(f"policies in {folder} are damaged or incomplete; they are trained again.", file=sys.stderr)
            stored = None
        if stored is None:
            part = folder.with_name(f"{name}.part")
            for old in (folder, part):
                shutil.rmtree(old, ignore_errors=True)
            part.mkdir(parents=True)
            stored = plain({"notes": train(part), "files": _hashes(part)})
            write_json(part / "notes.json", {"key": key, "result": stored})
            part.rename(folder)
        return [folder / file for file in sorted(stored["files"])], stored["notes"]


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


def _hashes(folder: Path) -> dict[str, str]:
    """Hash of each policy's file, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.safetensors"))}
