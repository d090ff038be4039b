"""Recordings of OWL Control: a folder with a video and `inputs.csv`.

The table has a line for each event: `timestamp,event_type,event_args`, seconds since 1970, a name, and a JSON
list. Keys and buttons are numbered as Windows numbers them, motions are counts of the mouse. The format is
that of github.com/Wayfarer-Labs/owl-control. The video begins with `VIDEO_START`, or where there is none with
`START`.
"""

from __future__ import annotations

import csv
import functools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import DIGITS, KEY_NAMES, LETTERS, ControlSpec
from worldsim.data.format import DatasetInfo
from worldsim.data.importers.config import OwlConfig
from worldsim.data.importers.frames import FORMATS, probe, video_frames
from worldsim.data.importers.source import Imported, Recording, Row, check_rate, dataset_info, run
from worldsim.errors import DataError, shown, suggest

INPUTS = "inputs.csv"
# Windows' virtual-key codes -> names of ours; the two sides of shift, ctrl and alt are one key.
KEYS: Mapping[int, str] = {
    **{ord(name.upper()): name for name in LETTERS},
    **{ord(name): name for name in DIGITS},
    0x20: "space", 0x0D: "return", 0x1B: "escape", 0x09: "tab", 0x08: "backspace",
    0x10: "shift", 0xA0: "shift", 0xA1: "shift", 0x11: "ctrl", 0xA2: "ctrl", 0xA3: "ctrl",
    0x12: "alt", 0xA4: "alt", 0xA5: "alt", 0x25: "left", 0x26: "up", 0x27: "right", 0x28: "down",
}  # fmt: skip
BUTTONS: Mapping[int, str] = {1: "left", 2: "right", 4: "middle"}
BEGINNINGS = ("VIDEO_START", "START")


class Event(NamedTuple):
    """A line of the table: seconds since the video began, the event's name, and its arguments."""

    time: float
    kind: str
    args: list[Any]


def import_owl(config: OwlConfig, *, progress: bool = True) -> Imported:
    """Imports OWL Control's recordings.

    Raises:
        DataError: if there is none at the path, a table is not as OWL Control's are, or a key is unknown.
        FileError: if the dataset cannot be written.
    """
    folders = sorted(path.parent for path in config.path.rglob(INPUTS)) if config.path.is_dir() else []
    if not folders:
        raise DataError(f"no {INPUTS} at {config.path} or below; give a folder that OWL Control recorded.")
    for key in config.keys:
        if key not in KEY_NAMES:
            raise DataError(f"keys has {shown(key)}; allowed: {', '.join(KEY_NAMES)}.{suggest(key, KEY_NAMES)}")
    spec = _spec(config, folders)
    info = dataset_info(config, probe(_video(folders[0])), spec)
    recordings = [Recording(f.name, functools.partial(_rows, f, info, config), {"policy": "human"}) for f in folders]
    return run(config, info, recordings, progress=progress)


def _rows(folder: Path, info: DatasetInfo, config: OwlConfig) -> Iterator[Row]:
    """Row t holds what was pressed or moved from frame t until frame t + 1."""
    video = _video(folder)
    fps, frames = float(check_rate(video, info).fps), video_frames(video, info.height, info.width)
    vectors = _vectors(_events(folder), info.control_spec, fps, config)
    for frame, vector in zip(frames, vectors, strict=False):
        yield Row(frame, vector)


def _vectors(events: list[Event], spec: ControlSpec, fps: float, config: OwlConfig) -> Iterator[NDArray[np.float32]]:
    """Controls of each frame: keys and buttons that were down at any time until the next frame, and the sum
    of motions.
    """
    down: set[str] = set()
    position, names = 0, spec.names
    last = events[-1].time + config.delay if events else 0.0
    for frame in range(-1, math.floor(last * fps + 1e-6) + 1):  # -1 stands for all that was before the video
        used, motion = set(down), np.zeros(2)
        while position < len(events) and (events[position].time + config.delay) * fps < frame + 1 - 1e-6:
            event = events[position]
            position += 1
            if event.kind == "MOUSE_MOVE":
                motion += np.array(event.args[:2], np.float64) * config.degrees
            elif event.kind in ("KEYBOARD", "MOUSE_BUTTON"):
                name = KEYS.get(event.args[0]) if event.kind == "KEYBOARD" else f"mouse.{BUTTONS.get(event.args[0])}"
                if name in names:
                    (down.add if event.args[1] else down.discard)(name)
                    used |= down
            elif event.kind == "UNFOCUS":  # what is released in another window is not recorded
                down.clear()
        vector = np.array([float(name in used) for name in names], np.float32)
        if spec.has_mouse:
            vector[len(spec.keys) : len(spec.keys) + 2] = motion
        if frame >= 0:
            yield vector


def _spec(config: OwlConfig, folders: list[Path]) -> ControlSpec:
    """The controls that some recording uses; of keys those that were asked for."""
    keys, buttons, moved = set(config.keys), set(), False
    for folder in folders:
        for event in _events(folder):
            if event.kind == "KEYBOARD" and not config.keys:
                keys.add(KEYS.get(event.args[0], ""))
            elif event.kind == "MOUSE_BUTTON":
                buttons.add(BUTTONS.get(event.args[0], ""))
            moved = moved or event.kind == "MOUSE_MOVE"
    limit = config.mouse_limit * moved
    chosen = config.keys or tuple(name for name in KEY_NAMES if name in keys)
    return ControlSpec(chosen, (limit, limit), tuple(name for name in BUTTONS.values() if name in buttons))


def _video(folder: Path) -> Path:
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS)
    if len(videos) != 1:
        raise DataError(f"{folder} holds {len(videos)} videos; a recording of OWL Control has one beside its {INPUTS}.")
    return videos[0]


def _events(folder: Path) -> list[Event]:
    """The events in the order of time."""
    path, events = folder / INPUTS, []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({shown(str(error))}).") from error
    for number, line in enumerate(lines[1:], 2):
        events.append(_event(path, number, line))
    begun = [event.time for kind in BEGINNINGS for event in events if event.kind == kind]
    if not begun:
        raise DataError(f"{path} has no {' or '.join(BEGINNINGS)}, so when the video began is unknown.")
    return sorted((event._replace(time=event.time - begun[0]) for event in events), key=lambda event: event.time)


def _event(path: Path, number: int, line: str) -> Event:
    """One line. OWL Control does not double the quotes inside its arguments, as CSV would."""
    try:
        time, kind, args = line.strip().split(",", 2)
        args = next(csv.reader([args]))[0] if args.startswith('"') and '""' in args else args.strip('"')
        event = Event(float(time), kind, json.loads(args))
        wanted = {"MOUSE_MOVE": (float, float), "KEYBOARD": (int, bool), "MOUSE_BUTTON": (int, bool)}.get(kind, ())
        if not math.isfinite(event.time) or not isinstance(event.args, list) or len(event.args) < len(wanted):
            raise ValueError("too few arguments")
        if wanted:
            event = event._replace(args=[make(value) for make, value in zip(wanted, event.args, strict=False)])
        return event
    except (ValueError, TypeError, IndexError, RecursionError, OverflowError) as error:
        raise DataError(f"{path}, line {number}: {shown(line.strip())}; is it OWL Control's?") from error
