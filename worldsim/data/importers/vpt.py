"""Minecraft as OpenAI's VPT contractors recorded it: `NAME.mp4` with 20 frames/s, and `NAME.jsonl` with a
line for each.

The format is that of github.com/openai/Video-Pre-Training (Baker et al. 2022, "Video PreTraining", appendix
B). Line t holds the keys and buttons held at frame t, and the pixels by which the mouse moved; they produced
frame t + 1.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data.format import DatasetInfo
from worldsim.data.importers.config import VptConfig
from worldsim.data.importers.frames import probe, video_files, video_frames
from worldsim.data.importers.source import Imported, Recording, Row, check_rate, dataset_info, run
from worldsim.envs.games.minerl import DEGREES_PER_PIXEL, MineRLActions
from worldsim.envs.games.minerl import KEYS as GAME_KEYS
from worldsim.errors import DataError, shown

SIDES = {"shift": "left.shift", "ctrl": "left.control"}  # of the keys that Minecraft tells apart
KEYS: Mapping[str, str] = {f"key.keyboard.{SIDES.get(key, key)}": key for key in GAME_KEYS.values()}
BUTTONS: Mapping[int, str] = {0: "left", 1: "right", 2: "middle"}


def import_vpt(config: VptConfig, *, progress: bool = True) -> Imported:
    """Imports VPT recordings.

    Raises:
        DataError: if a video has no `.jsonl`, or a line of it is not as VPT's are.
        FileError: if the dataset cannot be written.
    """
    videos = video_files(config.path)
    info = dataset_info(config, probe(videos[0]), MineRLActions(mouse_limit=config.mouse_limit).control_spec)
    recordings = [Recording(v.stem, functools.partial(_rows, v, info), {"policy": "human"}) for v in videos]
    return run(config, info, recordings, progress=progress)


def _rows(video: Path, info: DatasetInfo) -> Iterator[Row]:
    check_rate(video, info)
    frames = video_frames(video, info.height, info.width)
    for frame, vector in zip(frames, _vectors(video.with_suffix(".jsonl"), info.control_spec), strict=False):
        yield Row(frame, vector)


def _vectors(path: Path, spec: ControlSpec) -> Iterator[NDArray[np.float32]]:
    """The controls of each line.

    Two things are mended as VPT's and MineRL's own readers do. Where the first line says that attack was just
    pressed, it is not held until it is pressed again: the recorder missed its release. The wheel is not
    recorded, but the slot of the hotbar is: where the next line has another, that slot's number key counts as
    pressed.
    """
    stuck = False
    for number, (step, after) in enumerate(_pairs(_lines(path))):
        try:
            mouse, new = step["mouse"], step["mouse"]["newButtons"]
            stuck = new == [0] if number == 0 else stuck and 0 not in new
            held = [KEYS[key] for key in step["keyboard"]["keys"] if key in KEYS]
            pressed = [BUTTONS[button] for button in mouse["buttons"] if button in BUTTONS and not (stuck and button == 0)]
            if after["hotbar"] != step["hotbar"]:
                held.append(str(int(after["hotbar"]) + 1))
            motion = [float(mouse[axis]) * DEGREES_PER_PIXEL for axis in ("dx", "dy")]
            keys = [float(name in held) for name in spec.keys]
            yield np.array([*keys, *motion, *(float(name in pressed) for name in spec.buttons)], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number + 1}: {shown(str(error))} is wrong or missing; is it VPT's?") from error


def _pairs(lines: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Each line with the next one, the last with itself."""
    before = next(lines, None)
    if before is None:
        return
    for line in lines:
        yield before, line
        before = line
    yield before, before


def _lines(path: Path) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parsed(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({shown(str(error))}); it must stand beside the video.") from error


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number} is not JSON; it is damaged.") from error
