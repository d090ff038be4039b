"""Finished runs on disk, so that a killed `worldsim transfer` goes on where it was."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.files import plain, read_json, write_json

Result = dict[str, Any]


class Store:
    """Results and policies by name, each with the key (settings as JSON) that it was made with; other keys make it anew.

    Args:
        root: folder.
        shared: settings that everything depends on.
    """

    def __init__(self, root: Path, shared: Result) -> None:
        self.root, self.shared = root, shared

    def result(self, name: str, key: Result, run: Callable[[], Result]) -> Result:
        """What `run` gives, with its `name` and `seconds`; from disk where it was made before with the same key."""
        path, key = self.root / "runs" / f"{name}.json", {**key, **self.shared}
        found = _read(path, key)
        if found is None:
            print(f"{name} ...", flush=True)
            begun = time.monotonic()
            made = {**run(), "name": name}
            write_json(path, {"key": key, "result": {**made, "seconds": time.monotonic() - begun}})
            found = _read(path, key)
            assert found is not None
        return found

    def policies(self, name: str, key: Result, train: Callable[[Path], list[Result]]) -> tuple[list[Path], list[Result]]:
        """Files of a training, in order, and what it noted of each; trained only where they are not there yet.

        Args:
            name, key: of the training.
            train: writes .safetensors files into the folder it is given, whose names sort, and returns a note for each.
        """
        folder, key = self.root / "policies" / name, {**key, **self.shared}
        if _read(folder / "notes.json", key) is None:
            part = folder.with_name(f"{name}.part")
            for old in (folder, part):
                shutil.rmtree(old, ignore_errors=True)
            part.mkdir(parents=True)
            write_json(part / "notes.json", {"key": key, "result": {"notes": train(part)}})
            part.rename(folder)
        stored = _read(folder / "notes.json", key)
        assert stored is not None
        return sorted(folder.glob("*.safetensors")), stored["notes"]


def _read(path: Path, key: Result) -> Result | None:
    """What was stored under the same key, if anything was."""
    if not path.is_file():
        return None
    content = read_json(path, "key", "result")
    return content["result"] if content["key"] == plain(key) else None
