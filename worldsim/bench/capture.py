"""`worldsim bench capture`: whether `worldsim capture` puts inputs into the right rows, proven on another program.

The program runs on a virtual screen, and xdotool gives it inputs whose times are noted. Then the recording is compared with
them. An input is in the right row if it came between the row's frame and the next, the delay included. The pictures tell,
independently, which frame was the first to show a key.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.bench.config import CaptureBenchConfig
from worldsim.bench.display import check_display, virtual_screen
from worldsim.bench.stream import format_machine
from worldsim.bench.toywindow import TITLE
from worldsim.capture.config import DEGREES_PER_PIXEL
from worldsim.data import Dataset
from worldsim.errors import DisplayError, WorldsimError
from worldsim.machine import describe_machine

OPENS = 90.0  # seconds in which the program's window appears
PAUSES = (0.25, 0.45)  # seconds between presses
HELD = (0.05, 0.2)  # seconds
SELECTING = tuple("1234567")  # keys after which every program here shows another steady picture
SHOWN = {"toy": (0.7, 0.0, 1.0, 1.0), "minetest": (0.88, 0.13, 0.99, 0.77)}  # where: top, left, bottom, right
MINETEST = {
    "fps_max": 60, "fps_max_unfocused": 60, "screen_w": 640, "screen_h": 480, "enable_sound": "false", "viewing_range": 20,
    "enable_clouds": "false", "enable_shaders": "false", "creative_mode": "true", "enable_damage": "false",
    "mg_name": "singlenode", "menu_clouds": "false", "enable_particles": "false",
}  # fmt: skip
MINETEST_WORLD = "gameid = devtest\n" + "".join(
    f"{name} = sqlite3\n" for name in ("backend", "player_backend", "auth_backend", "mod_storage_backend")
)


@dataclass(frozen=True)
class Sent:
    """An input that was given.

    Attributes:
        time: of `time.monotonic()`, before it was given.
        name: in `ControlSpec.names`.
        value: 1 and 0 for down and up; degrees of motion.
        late: seconds after `time` by which the X server had carried it out.
    """

    time: float
    name: str
    value: float
    late: float = 0.0


def bench_capture(config: CaptureBenchConfig) -> dict[str, Any]:
    """Records a program under known inputs, prints how many are in the right row, and returns the figures.

    Raises:
        DisplayError: without Xvfb or xdotool, or if the program's window does not appear.
        WorldsimError: if a command fails.
    """
    check_display()
    machine = describe_machine()
    print(format_machine(machine), flush=True)
    with tempfile.TemporaryDirectory(prefix="worldsim-") as name, virtual_screen((800, 600)) as screen:
        folder = Path(name)
        with running(config, folder, screen.environment) as title:
            out = folder / "data"
            options = ["--window", title, "--out", str(out), "--fps", str(config.fps), "--keys", *SELECTING, "--mouse", "180"]
            options += ["--buttons", "left"]
            press = ["--press", "1", "3", "5", "7", "--presses", str(config.presses)]
            calibration = worldsim(["capture", *options, "--calibrate", *press], folder, screen.environment)
            sent, counts = _record(config, options, folder, screen.environment)
        figures = compare(Dataset(out), counts["first_times"], sent, calibration["delay_ms"] / 1000, SHOWN[config.program])
    figures = {
        "program": config.program,
        "fps": config.fps,
        "calibration": calibration,
        "dropped": counts["dropped"],
        **figures,
        "machine": machine,
    }
    print(format_capture(figures))
    return figures


@contextmanager
def running(config: CaptureBenchConfig, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The program, in front and with the pointer in it; gives its title."""
    command, title = _command(config, folder)
    home = {**environment, "HOME": str(folder), "MINETEST_USER_PATH": str(folder), "LIBGL_ALWAYS_SOFTWARE": "1"}
    log = (folder / "program.log").open("w")
    with log, subprocess.Popen(command, env=home, cwd=folder, stdout=log, stderr=log) as program:
        try:
            begun = time.monotonic()
            while not (found := _xdotool(["search", "--onlyvisible", "--class", "."], environment).split()):
                if program.poll() is not None or time.monotonic() - begun > OPENS:
                    said = (folder / "program.log").read_text(errors="replace").strip().splitlines()[-1:]
                    raise DisplayError(f"{config.program} showed no window: {' '.join(said)}")
                time.sleep(0.2)
            time.sleep(config.settle)
            _xdotool(["windowmove", found[-1], "60", "60", "windowfocus", found[-1], "mousemove", "200", "200"], environment)
            time.sleep(0.5)
            yield title
        finally:
            program.terminate()
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()


def worldsim(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Runs a command of ours with --json; what it found.

    Raises:
        WorldsimError: if it fails.
    """
    path = folder / "figures.json"
    command = [sys.executable, "-m", "worldsim", *arguments, "--json", str(path)]
    done = subprocess.run(command, env=dict(environment), cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise WorldsimError(f"worldsim {arguments[0]} failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _record(
    config: CaptureBenchConfig, options: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> tuple[list[Sent], dict[str, Any]]:
    """Records while inputs are given; these, and what the command counted."""
    path = folder / "counts.json"
    command = [sys.executable, "-m", "worldsim", "capture", *options, "--now", "--json", str(path)]
    with subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout is not None
        if not recorder.stdout.readline().startswith("recording"):
            raise WorldsimError("worldsim capture did not start.")
        time.sleep(1.0)
        sent = list(_drive(config, environment))
        time.sleep(1.0)
        recorder.send_signal(2)  # as Ctrl-C
        recorder.stdout.read()
    return sent, json.loads(path.read_text())


def _drive(config: CaptureBenchConfig, environment: Mapping[str, str]) -> Iterator[Sent]:
    """Gives inputs by xdotool, which carries out each line as it comes: keys first, then buttons and motion."""
    chance, last = random.Random(config.seed), ""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(["xdotool", "-"], env=dict(environment), **pipes) as driver:

        def give(line: str, name: str, value: float) -> Sent:
            """The answer to the question where the pointer is comes after the input was carried out."""
            assert driver.stdin is not None and driver.stdout is not None
            driver.stdin.write(f"{line}\ngetmouselocation\n")
            now = time.monotonic()
            driver.stdin.flush()
            driver.stdout.readline()
            return Sent(now, name, value, time.monotonic() - now)

        time.sleep(0.5)
        for _ in range(config.inputs):
            last = chance.choice([key for key in SELECTING if key != last])
            yield give(f"keydown {last}", last, 1)
            time.sleep(chance.uniform(*HELD))
            yield give(f"keyup {last}", last, 0)
            time.sleep(chance.uniform(*PAUSES))
        for i in range(config.inputs // 4):
            pixels = chance.randint(5, 60) * (1 if i % 2 else -1)
            yield give(f"mousemove_relative -- {pixels} 0", "mouse.dx", DEGREES_PER_PIXEL * pixels)
            time.sleep(chance.uniform(*PAUSES))
            yield give("mousedown 1", "mouse.left", 1)
            time.sleep(chance.uniform(*HELD))
            yield give("mouseup 1", "mouse.left", 0)
            time.sleep(chance.uniform(*PAUSES))


def compare(
    data: Dataset,
    begun: Sequence[float],
    sent: Sequence[Sent],
    delay: float,
    shown: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> dict[str, Any]:
    """How many inputs are in the right row, and which frame shows them first.

    Args:
        data: what was recorded.
        begun: time of each episode's first frame.
        sent: what was given, in order.
        delay: seconds that were shifted out.
        shown: part of the picture in which keys show: top, left, bottom and right, as shares of its sides.
    """
    times = np.concatenate([start + data.episode(i).states[:, 0] for i, start in enumerate(begun)])
    rows = np.searchsorted(times, [one.time + delay for one in sent], "left") - 1
    latest = np.searchsorted(times, [one.time + one.late + delay for one in sent], "left") - 1
    given = [(one, int(row)) for one, row in zip(sent, rows, strict=True)]
    strictly = [_placed(data.rows.actions, row, data.spec.names.index(one.name), one.value) for one, row in given]
    placed = [
        any(_placed(data.rows.actions, row, data.spec.names.index(one.name), one.value) for row in range(first, last + 1))
        for (one, first), last in zip(given, latest.tolist(), strict=True)
    ]
    presses = [(one, row) for one, row in given if one.name in SELECTING and one.value]
    height, width, _ = data.frame_shape
    top, left, bottom, right_side = (round(share * side) for share, side in zip(shown, (height, width) * 2, strict=True))
    frames = np.concatenate([data.frames(i)[:, top:bottom, left:right_side] for i in range(len(data))])
    lags = seen_lags(frames, presses)
    return {
        "inputs": len(sent),
        "in_right_row": float(np.mean(placed)),
        "in_right_row_by_time_sent": float(np.mean(strictly)),
        "between_two_rows": float(np.mean(rows != latest)),
        "late_ms": float(np.median([1000 * one.late for one in sent])),
        "rows": len(times),
        "pictures": {
            "presses": len(lags),
            "first_shown_by_next_frame": float(np.mean([lag == 1 for lag in lags])),
            "within_one_frame": float(np.mean([0 <= lag <= 2 for lag in lags])),
            "lags": {str(lag): lags.count(lag) for lag in sorted(set(lags))},
        },
    }


def _placed(actions: NDArray[np.float32], row: int, column: int, value: float) -> bool:
    """Whether a press begins, a release ends, or motion lies in a row."""
    if not 1 <= row < len(actions) - 1:
        return False
    if value == 1:
        return bool(actions[row, column] == 1 and actions[row - 1, column] == 0)
    if value == 0:  # a tap within one row ends in the next
        before, now, after = actions[row - 1 : row + 2, column]
        return bool((before == 1 and now == 0) or (before == 0 and now == 1 and after == 0))
    return bool(abs(actions[row, column] - value) < 1e-3)


def seen_lags(frames: NDArray[np.uint8], presses: Sequence[tuple[Sent, int]]) -> list[int]:
    """For each press the number of frames from its row's frame to the first that shows it; 1 is right.

    What a key looks like is learned from the frames just before the next press.
    """
    looks: dict[str, list[NDArray[np.float32]]] = {}
    for (one, _), (_, following) in pairwise(presses):
        looks.setdefault(one.name, []).append(frames[following].astype(np.float32))
    mean = {name: np.mean(pictures, 0) for name, pictures in looks.items()}
    lags = []
    for (old, _), (new, row) in pairwise(presses):
        if old.name not in mean or new.name not in mean:
            continue
        direction, middle = mean[new.name] - mean[old.name], (mean[new.name] + mean[old.name]) / 2
        shows = [float(((frames[t] - middle) * direction).sum()) > 0 for t in range(row - 1, min(row + 6, len(frames)))]
        lags.append(shows.index(True) - 1 if True in shows else 99)
    return lags


def format_capture(figures: Mapping[str, Any]) -> str:
    """The figures as lines to read."""
    pictures, calibration = figures["pictures"], figures["calibration"]
    return "\n".join(
        [
            f"{figures['program']}, {figures['fps']:g} frames/s, {figures['rows']} rows, {figures['dropped']} dropped",
            f"delay {calibration['delay_ms']:.0f} ms ({calibration['p10_ms']:.0f} to {calibration['p90_ms']:.0f})",
            f"{figures['in_right_row']:.2%} of {figures['inputs']} inputs are in the right row: "
            f"{figures['in_right_row_by_time_sent']:.2%} by the time they were sent, the others by when the X server had "
            f"carried them out, {figures['late_ms']:.1f} ms later",
            f"{pictures['first_shown_by_next_frame']:.1%} of {pictures['presses']} presses are first shown by the frame after "
            f"their row, {pictures['within_one_frame']:.1%} by that or one beside it",
        ]
    )


def _command(config: CaptureBenchConfig, folder: Path) -> tuple[list[str], str]:
    """How to start the program, and its title."""
    if config.program == "toy":
        return [sys.executable, "-m", "worldsim.bench.toywindow", str(config.toy_delay_ms)], TITLE
    world = folder / "world"
    world.mkdir()
    (world / "world.mt").write_text(MINETEST_WORLD)
    settings = folder / "minetest.conf"
    settings.write_text("".join(f"{name} = {value}\n" for name, value in MINETEST.items()))
    path = f"{os.environ.get('PATH', '')}:/usr/games"
    program = shutil.which("minetest", path=path)
    if program is None:
        raise DisplayError("minetest is not installed; on Debian or Ubuntu: sudo apt install minetest")
    return [program, "--config", str(settings), "--world", str(world), "--gameid", "devtest", "--go"], "Minetest"


def _xdotool(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    try:
        return subprocess.run(["xdotool", *arguments], env=dict(environment), capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise DisplayError("xdotool is not installed; on Debian or Ubuntu: sudo apt install xdotool") from error
