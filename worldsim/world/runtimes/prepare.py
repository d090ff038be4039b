"""Compiles a world's graphs ahead of time, in a process of its own: `python -m worldsim.world.runtimes.prepare WORLD BATCH`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from worldsim.errors import FileError
from worldsim.files import lock
from worldsim.world import World, world_hash
from worldsim.world.runtimes import INSTALL, is_prepared, openvino_found
from worldsim.world.runtimes.cache import cache_folder, graph_folder

SWITCH = "WORLDSIM_PREPARE"  # "0" in the environment: prepare nothing


def prepare_in_background(world: World, folder: Path) -> str | None:
    """Starts to compile the graphs of a world that runs on torch, so that the next load with `runtime="auto"` is faster.

    Args:
        world: as it was loaded.
        folder: that it was loaded from.

    Returns:
        A line for the user; None where there is nothing to gain or to say.
    """
    if world.runtime.name != "torch" or world.device.type != "cpu" or world.compiled or os.environ.get(SWITCH) == "0":
        return None
    if not openvino_found():
        return f"steps are up to three times as fast with OpenVINO: {INSTALL}"
    kept = graph_folder(world_hash(folder))
    if kept is None or is_prepared(kept, world.batch):
        return None
    command = [sys.executable, "-m", "worldsim.world.runtimes.prepare", str(folder.resolve()), str(world.batch)]
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(command, start_new_session=True, **nowhere)  # type: ignore[call-overload]
    return "a faster runtime is being prepared in the background; the next start uses it"


def prepare(folder: Path, batch: int) -> None:
    """Compiles and keeps the graphs of a world for so many rows; does nothing while another process prepares some."""
    try:
        place = cache_folder() / "graphs"
        place.mkdir(parents=True, exist_ok=True)
        with lock(place, "preparing graphs"):
            World.load(folder, batch=batch, device="cpu", runtime="openvino")
    except (FileError, OSError):
        return


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    prepare(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
