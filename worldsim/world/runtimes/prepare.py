"""Compiles a world's graphs ahead of time, in a process of its own: `python -m worldsim.world.runtimes.prepare WORLD BATCH`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
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
    _begin(folder, world.batch)
    return "a faster runtime is being prepared in the background; the next start uses it"


def prepare_elsewhere(world: World, batch: int, stop: Callable[[], bool]) -> None:
    """Converts the graphs of a world for so many rows in a process of its own, where they are not kept yet, and waits for it.

    Converting takes seconds in which no other thread of this process could run. Where nothing can be kept, it is left undone.

    Args:
        world: as it was loaded.
        batch: rows.
        stop: asked now and then whether to give up.
    """
    if world.runtime.name != "openvino" or world.folder is None or os.environ.get(SWITCH) == "0":
        return
    kept = graph_folder(world_hash(world.folder))
    if kept is None or is_prepared(kept, batch, ("step", "pair", "decode")):
        return
    process = _begin(world.folder, batch)
    while process.poll() is None:
        if stop():
            process.terminate()
        time.sleep(0.05)


def _begin(folder: Path, batch: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "worldsim.world.runtimes.prepare", str(folder.resolve()), str(batch)]
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, **nowhere)  # type: ignore[call-overload, no-any-return]


def prepare(folder: Path, batch: int) -> None:
    """Compiles and keeps the graphs of a world for so many rows; does nothing while another process prepares some."""
    try:
        place = cache_folder() / "graphs"
        place.mkdir(parents=True, exist_ok=True)
        with lock(place, "preparing graphs"):
            world = World.load(folder, batch=batch, device="cpu", runtime="openvino")
            world.reset(seed=0)
            for _ in range(2):  # the second writes the first into the context in the same call, by a graph of its own
                world.step(world.control_spec.neutral())
    except (FileError, OSError):
        return


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    prepare(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
