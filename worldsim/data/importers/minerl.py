"""MineRL's dataset (Guss et al. 2019): folders with `recording.mp4`, `rendered.npz` and `metadata.json`.

Action t of N was taken at observation t, of which there are N + 1. The video ends with the last observation,
and begins with frames from before the episode. Actions without a key, such as crafting, are left out.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data.format import DatasetInfo
from worldsim.data.importers.config import MineRLConfig
from worldsim.data.importers.frames import probe, video_frames
from worldsim.data.importers.source import Imported, Recording, Row, check_rate, dataset_info, run
from worldsim.envs.games.minerl import HUMAN, MineRLActions
from worldsim.errors import DataError, check_int, printable
from worldsim.files import read_json

NUMBERS, VIDEO, ABOUT = "rendered.npz", "recording.mp4", "metadata.json"
ACTION = "action$"
MOST_FRAMES = 2**31
LARGEST = 2**30  # bytes that the arrays of an episode may take


def import_minerl(config: MineRLConfig, *, progress: bool = True) -> Imported:
    """Imports episodes of MineRL's dataset.

    Raises:
        DataError: if there is none at the path, or a file is missing or damaged.
        FileError: if the dataset cannot be written.
    """
    folders = sorted(path.parent for path in config.path.rglob(NUMBERS)) if config.path.is_dir() else []
    if not folders:
        raise DataError(f"no {NUMBERS} at {config.path} or below; give a folder of MineRL's dataset.")
    first = _numbers(folders[0])
    binaries = tuple(name.removeprefix(ACTION) for name in first if name.removeprefix(ACTION) in HUMAN)
    actions = MineRLActions(binaries, mouse_limit=config.mouse_limit)
    info = dataset_info(config, probe(folders[0] / VIDEO), actions.control_spec)
    recordings = [Recording(f.name, functools.partial(_rows, f, info, actions), {"policy": "human"}) for f in folders]
    return run(config, info, recordings, progress=progress)


def _rows(folder: Path, info: DatasetInfo, actions: MineRLActions) -> Iterator[Row]:
    check_rate(folder / VIDEO, info)
    numbers, about = _numbers(folder), read_json(folder / ABOUT, "true_video_frame_count")
    rewards = numbers["reward"]
    frame_count = about["true_video_frame_count"]
    count = check_int(f"true_video_frame_count of {folder}", frame_count, len(rewards) + 1, MOST_FRAMES, DataError)
    frames = itertools.islice(video_frames(folder / VIDEO, info.height, info.width), count - len(rewards) - 1, None)
    spec, success = info.control_spec, bool(about.get("success"))
    for t, reward in enumerate(rewards):
        frame = next(frames, None)
        if frame is None:
            raise DataError(f"{folder / VIDEO} ends before action {t} of {len(rewards)}; it is damaged.")
        taken = {name: numbers[ACTION + name][t] for name in (*actions.binaries, "camera")}
        last = t == len(rewards) - 1
        yield Row(frame, spec.to_vector(actions.from_action(taken)), float(reward), last and success, last and not success)


def _numbers(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of actions and rewards, all of one length. Nothing is unpickled."""
    path = folder / NUMBERS
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > LARGEST:
                raise ValueError("its arrays are too large")
            wanted = [name for name in file.files if name == "reward" or name.removeprefix(ACTION) in (*HUMAN, "camera")]
            numbers = {name: file[name] for name in wanted}
    except Exception as error:  # of NumPy, zipfile and zlib, which raise a dozen kinds
        raise DataError(f"{path} cannot be read ({printable(str(error), 200)}); it is damaged.") from error
    length = len(numbers.get("reward", ()))
    if not length or f"{ACTION}camera" not in numbers or any(len(array) < length for array in numbers.values()):
        raise DataError(f"{path} lacks 'reward' or 'action$camera', or holds arrays that are too short; is it MineRL's?")
    if numbers[f"{ACTION}camera"].shape[1:] != (2,) or any(array.dtype == object for array in numbers.values()):
        raise DataError(f"{path} holds a camera of shape {numbers[f'{ACTION}camera'].shape}; each is pitch and yaw.")
    return numbers
