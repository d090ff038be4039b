"""Runs a command and notes when its start-up phases begin: `python -m worldsim.bench.marks FILE BEGUN PICTURE COMMAND ...`.

FILE gets the notes, BEGUN is `time.monotonic()` at the start of the process, and PICTURE the file whose appearance is the first
frame, unless a window comes first. Python's audit events tell: of imports, of renamed files, and those that `World.load` and the
window raise.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any


class Marks:
    """First times of events, in seconds of wall clock since the start and of CPU.

    Args:
        begun: `time.monotonic()` at the start of the process.
        picture: file whose appearance is the first frame.
    """

    def __init__(self, begun: float, picture: str) -> None:
        self.begun, self.picture = begun, picture
        self.at: dict[str, tuple[float, float]] = {}

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook."""
        if event == "import":
            self._imported(arguments[0])
        elif event.startswith("worldsim."):
            prefix = "load " if event == "worldsim.load" else ""
            self.note(prefix + str(arguments[0]))
        elif event == "os.rename" and os.fspath(arguments[1]) == self.picture:
            self.note("frame")

    def note(self, name: str) -> None:
        self.at.setdefault(name, (time.monotonic() - self.begun, time.process_time()))

    def _imported(self, module: str) -> None:
        if module == "torch":
            self.note("torch begin")
        elif "torch begin" in self.at and "torch end" not in self.at:
            spec = getattr(sys.modules.get("torch"), "__spec__", None)
            if spec is not None and not getattr(spec, "_initializing", False):
                self.note("torch end")


def main() -> None:
    file, begun, picture, *command = sys.argv[1:]
    marks = Marks(float(begun), picture)
    sys.addaudithook(marks)
    sys.argv = ["worldsim", *command]
    runpy.run_module("worldsim", run_name="__main__")
    Path(file).write_text(json.dumps(marks.at))


if __name__ == "__main__":
    main()
