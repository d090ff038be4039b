"""Videos with a table of controls beside each: `clip.mp4` and `clip.csv`.

The table has one row for each frame and a column for each control, named as in `ControlSpec.names`: a key
such as `w`, `mouse.dx` and `mouse.dy` in degrees, a button such as `mouse.left`. `reward`, `terminated` and
`truncated` may be there too.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import BUTTON_NAMES, KEY_NAMES, ControlSpec
from worldsim.data.format import DatasetInfo
from worldsim.data.importers.config import VideoConfig
from worldsim.data.importers.frames import probe, video_files, video_frames
from worldsim.data.importers.source import Imported, Recording, Row, check_rate, dataset_info, run
from worldsim.errors import DataError, WorldsimError, printable, shown, suggest

OUTCOMES = ("reward", "terminated", "truncated")
MOTIONS = ("mouse.dx", "mouse.dy")
COLUMNS = (*KEY_NAMES, *MOTIONS, *(f"mouse.{name}" for name in BUTTON_NAMES), *OUTCOMES)


def import_videos(config: VideoConfig, *, progress: bool = True) -> Imported:
    """Imports videos with tables.

    Raises:
        DataError: if a video has no table, a table has other columns, or the videos differ in their rate.
        FileError: if the dataset cannot be written.
    """
    videos = video_files(config.path)
    names = _columns(_table_of(videos[0]))
    spec = _spec(names, config.mouse_limit)
    info = dataset_info(config, probe(videos[0]), spec)
    recordings = [Recording(video.stem, functools.partial(_rows, video, names, info, config)) for video in videos]
    return run(config, info, recordings, progress=progress)


def _rows(video: Path, names: list[str], info: DatasetInfo, config: VideoConfig) -> Iterator[Row]:
    table = _table_of(video)
    if _columns(table) != names:
        raise DataError(f"{table} has other columns than the first table ({', '.join(names)}); give all the same.")
    check_rate(video, info)
    values = _values(table, names)
    steps = values[1:] if config.produced == "same" else values  # what led to frame t stands at frame t - 1
    frames = video_frames(video, info.height, info.width)
    for frame, row in zip(frames, steps, strict=False):  # pictures after the last controls led nowhere
        held = dict(zip(names, row, strict=True))
        vector = np.array([held.get(name, 0.0) for name in info.control_spec.names], np.float32)
        yield Row(frame, vector, held.get("reward", 0.0), held.get("terminated", 0) >= 0.5, held.get("truncated", 0) >= 0.5)


def _table_of(video: Path) -> Path:
    table = video.with_suffix(".csv")
    if not table.is_file():
        raise DataError(f"no table of controls for {video}; put it beside the video, as {table.name}.")
    return table


def _columns(table: Path) -> list[str]:
    with _read(table) as rows:
        names = next(rows, [])
    for name in names:
        if name not in COLUMNS:
            raise DataError(
                f"{table} has a column {shown(name)}; columns are keys, mouse.dx, mouse.dy, mouse.left, mouse.middle, "
                f"mouse.right, {', '.join(OUTCOMES)}.{suggest(name, COLUMNS)}"
            )
    if len(set(names)) < len(names) or not set(names) - set(OUTCOMES):
        raise DataError(f"{table} has the columns {shown(names)}; give each once, and at least one control.")
    return names


def _values(table: Path, names: list[str]) -> NDArray[np.float64]:
    with _read(table) as rows:
        next(rows)
        found: list[list[float]] = []
        for number, row in enumerate(rows, 2):
            try:
                found.append([float(value) for value in row])
            except ValueError:
                found.append([])
            if len(found[-1]) != len(names) or not np.isfinite(found[-1]).all():
                raise DataError(f"{table}, line {number}: {shown(row)}; give {len(names)} finite numbers.")
    return np.array(found, np.float64).reshape(-1, len(names))


def _spec(names: list[str], limit: float) -> ControlSpec:
    limits = [limit * (name in names) for name in MOTIONS]
    buttons = tuple(name for name in BUTTON_NAMES if f"mouse.{name}" in names)
    return ControlSpec(tuple(name for name in names if name in KEY_NAMES), (limits[0], limits[1]), buttons)


@contextmanager
def _read(table: Path) -> Iterator[Iterator[list[str]]]:
    """The lines of a CSV file, split."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            yield csv.reader(file)
    except WorldsimError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({printable(str(error), 200)}); it must be a CSV table in UTF-8.") from error
