"""`worldsim bench start`: from the start of a process to its first frame, in a file or on a screen.

The commands that people use are run as they are, `worldsim record` and `worldsim play`, each in a process of its own. Python's
audit events (PEP 578) tell when each phase begins; see `worldsim.bench.marks`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from worldsim.bench.config import StartConfig
from worldsim.bench.display import check_display, virtual_screen
from worldsim.bench.stream import format_machine
from worldsim.errors import DisplayError, WorldsimError
from worldsim.machine import describe_machine
from worldsim.tables import text_table
from worldsim.world.runtimes import openvino_found
from worldsim.worlds import find_world

PHASES = ("imports", "torch", "read", "graphs", "first frame")
LIMIT = 600.0  # seconds in which a frame has to appear


def bench_start(config: StartConfig) -> dict[str, Any]:
    """Measures every combination of what is given, prints a table and returns it.

    Returns:
        "results": a dict per case, its seconds the median of all rounds; "machine".

    Raises:
        WorldError: if there is no such world.
        DisplayError: if only screens are asked for and there can be none.
        WorldsimError: if a command fails.
    """
    for name in config.worlds:
        find_world(name)
    shows = list(config.shows)
    try:
        check_display()
    except DisplayError as error:
        if shows == ["screen"]:
            raise
        if "screen" in shows:
            shows.remove("screen")
            print(f"without the window: {error}", file=sys.stderr)
    machine = describe_machine()
    print(format_machine(machine), flush=True)
    results = []
    with ExitStack() as stack:
        environment = stack.enter_context(virtual_screen()).environment if "screen" in shows else dict(os.environ)
        for world in config.worlds:
            for runtime in config.runtimes:
                for show in shows:
                    results += _measure_case(world, runtime, show, config, environment)
    print(format_starts(results))
    return {"results": results, "machine": machine}


def _measure_case(
    world: str, runtime: str, show: str, config: StartConfig, environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Cold and warm figures; torch keeps no graphs, so that both are one."""
    rounds: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        for i in range(config.rounds):
            if runtime != "torch":
                cache = Path(folder) / f"cold-{i}"
                rounds["cold"].append(time_start(world, runtime, show, config.device, cache, environment))
            warm = Path(folder) / "warm"
            if i == 0 and runtime != "torch" and openvino_found():
                made = "openvino" if runtime == "auto" else runtime
                time_start(world, made, "file", config.device, warm, environment)
            rounds["warm"].append(time_start(world, runtime, show, config.device, warm, environment))
    case = {"world": world, "runtime": runtime, "shown": show, "rounds": config.rounds}
    return [{**case, "cache": "-" if runtime == "torch" else cache, **_median(runs)} for cache, runs in rounds.items() if runs]


def time_start(
    world: str, runtime: str, show: str, device: str, cache: Path, environment: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """One start: "wall" and "cpu" seconds by phase, "total" among them; of a window also "window", until it is open.

    Raises:
        WorldsimError: if the command fails or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        picture, marks = Path(folder) / "frame.png", Path(folder) / "marks.json"
        options = [str(find_world(world).resolve()), "--device", device, "--runtime", runtime, "--frames", "1"]
        command = ["record", *options, "--out", str(picture)] if show == "file" else ["play", *options]
        settings = {**environment, "WORLDSIM_CACHE": str(cache), "WORLDSIM_PREPARE": "0"}
        begun = time.monotonic()
        program = [sys.executable, "-m", "worldsim.bench.marks", str(marks), str(begun), str(picture), *command]
        try:
            done = subprocess.run(program, env=settings, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired as error:
            raise WorldsimError(f"worldsim {command[0]} {world} showed no frame in {LIMIT:.0f} seconds.") from error
        if done.returncode or not marks.exists():
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            raise WorldsimError(f"worldsim {command[0]} {world} failed: {lines[-1]}")
        return phases(json.loads(marks.read_text()))


def phases(marks: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Seconds by phase from wall and CPU seconds since the start of the process at which each event happened.

    Args:
        marks: "torch begin", "torch end", "load begin", "load read", "load end", "frame", perhaps "opened": (wall, CPU).
    """
    figures = {}
    for i, kind in enumerate(("wall", "cpu")):
        at = {name: seconds[i] for name, seconds in marks.items()}
        torch = at["torch end"] - at["torch begin"]
        figures[kind] = {
            "imports": at["load begin"] - torch,
            "torch": torch,
            "read": at["load read"] - at["load begin"],
            "graphs": at["load end"] - at["load read"],
            "first frame": at["frame"] - at["load end"],
            "total": at["frame"],
        } | ({"window": at["opened"]} if "opened" in at else {})
    return figures


def _median(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {kind: {name: median(run[kind][name] for run in runs) for name in runs[0][kind]} for kind in ("wall", "cpu")}


def format_starts(results: Sequence[Mapping[str, Any]]) -> str:
    """Results as a table: seconds, those of the processor in brackets."""
    titles = ("world", "shown on", "runtime", "cache", "window", *PHASES, "total")

    def cell(result: Mapping[str, Any], name: str) -> str:
        return f"{result['wall'][name]:.2f} ({result['cpu'][name]:.2f})" if name in result["wall"] else "-"

    rows = [
        (result["world"], result["shown"], result["runtime"], result["cache"], *(cell(result, name) for name in titles[4:]))
        for result in results
    ]
    return text_table(titles, rows, left=(0, 1, 2, 3)) + "\nseconds from the start of the process, those of the CPU in brackets"
