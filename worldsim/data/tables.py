"""The parquet files of a dataset: rows, episodes and LeRobot's tasks."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldsim.data.format import LABELS, VIDEO_KEY, DatasetInfo, EpisodeInfo, Rows, check_labels, check_whole, damaged, location
from worldsim.data.stats import Stats, summarise
from worldsim.files import named_errors, replacing

TASKS_PATH = "meta/tasks.parquet"
UNPACKED, ALWAYS = 100, 2**24  # times a parquet file's size, and bytes on top, that its content may take in memory
STATS_COLUMN = "worldsim_stats"  # of an episode's metadata; one column, since parquet spends half a kilobyte on each

_NUMBERS = {"index": ("episode_index", 0), "length": ("length", 1), "first_row": ("dataset_from_index", 0)}  # and the least
_PARTS = ("data", f"videos/{VIDEO_KEY}", "meta/episodes")
_TEXTS = ("game", "policy", "split", "world_hash", "sampler", "start", "capture", "place", "content_hash", "frames_hash")


def write_tasks(root: Path, info: DatasetInfo) -> None:
    """LeRobot's table of tasks: one, playing the game."""
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [task_name(info)]})
    # LeRobot reads this table with pandas and looks tasks up in its index.
    kinds = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
        for name, (kind, numpy) in kinds.items()
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    _write_table(root / TASKS_PATH, table.replace_schema_metadata({"pandas": json.dumps(pandas)}))


def task_name(info: DatasetInfo) -> str:
    return f"Play {info.game}."


def write_rows(path: Path, rows: Rows, episode: EpisodeInfo, info: DatasetInfo) -> None:
    """Writes an episode's rows.

    Timestamps are exactly those of the video's frames, rounded to float32. LeRobot compares the two as float32 with a
    tolerance of 1e-4 s, which is less than one float32 step after 17 minutes.
    """
    columns = {name: _column(array) for name, array in _arrays(rows, episode, info).items()}
    _write_table(path, pa.table({name: column for name, column in columns.items() if column is not None}))


def read_rows(path: Path, info: DatasetInfo) -> Rows:
    """Reads what `write_rows` wrote.

    Raises:
        DataError: if the file is missing or damaged.
    """
    table = _read_table(path)
    spec, rows = info.control_spec, table.num_rows
    try:
        keys = _matrix(table, "action.keyboard", rows, len(spec.keys))
        mouse = _matrix(table, "action.mouse", rows, spec.size - len(spec.keys))
        return Rows(
            actions=np.concatenate([keys, mouse], axis=1),
            rewards=table["next.reward"].to_numpy(),
            terminated=table["next.terminated"].to_numpy(),
            truncated=table["next.truncated"].to_numpy(),
            states=_matrix(table, "observation.state", rows, len(info.state)),
        )
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from error


def row_stats(rows: Rows, episode: EpisodeInfo, info: DatasetInfo) -> Stats:
    """Statistics of all columns that `write_rows` writes."""
    return {name: summarise(array) for name, array in _arrays(rows, episode, info).items() if array.size}


def hash_episode(video: Path, rows: Rows) -> str:
    """SHA-256 of a video file and the rows that belong to it."""
    digest = hashlib.sha256()
    with named_errors("read", video), video.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    for name in ("actions", "rewards", "terminated", "truncated", "states"):
        array = np.ascontiguousarray(getattr(rows, name))
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_episode(path: Path, episode: EpisodeInfo, info: DatasetInfo, stats: Stats) -> None:
    """Writes an episode's metadata, by which it exists.

    Args:
        path: file to write.
        episode: the metadata.
        info: of the dataset.
        stats: of the episode's rows and pictures.
    """
    place = location(episode.index)
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "episode_index": (pa.int64(), episode.index),
        "tasks": (pa.list_(pa.string()), [task_name(info)]),
        "length": (pa.int64(), episode.length),
        "dataset_from_index": (pa.int64(), episode.first_row),
        "dataset_to_index": (pa.int64(), episode.first_row + episode.length),
        **{f"{part}/{name}": (pa.int64(), value) for part in _PARTS for name, value in place.items()},
        f"videos/{VIDEO_KEY}/from_timestamp": (pa.float64(), 0.0),
        f"videos/{VIDEO_KEY}/to_timestamp": (pa.float64(), float(episode.length / info.rate)),
        "seed": (pa.uint64(), episode.seed),
        "begun_at": (pa.int64(), episode.begun_at),
        STATS_COLUMN: (pa.string(), json.dumps(stats)),
        **{name: (pa.string(), getattr(episode, name)) for name in _TEXTS},
    }
    _write_table(path, pa.table({name: pa.array([value], kind) for name, (kind, value) in columns.items()}))


def read_episode(path: Path) -> EpisodeInfo:
    """Reads what `write_episode` wrote, but for the statistics.

    Raises:
        DataError: if the file is missing or damaged.
    """
    return read_episode_and_stats(path)[0]


def read_episode_and_stats(path: Path) -> tuple[EpisodeInfo, Stats]:
    """Reads what `write_episode` wrote; datasets that are older than the statistics have none.

    Raises:
        DataError: if the file is missing or damaged.
    """
    rows = _read_table(path).to_pylist()
    try:
        (row,) = rows
        labels = check_labels(**{name: row[name] for name in LABELS if name in row})
        numbers: dict[str, Any] = {
            name: check_whole(column, row[column], least, 2**62) for name, (column, least) in _NUMBERS.items()
        }
        hashes = {name: row.get(name) for name in ("content_hash", "frames_hash")}
        episode = EpisodeInfo(**numbers, game=row["game"], **hashes, **labels)
        return episode, json.loads(row.get(STATS_COLUMN, "{}"))
    except (KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from error


def _arrays(rows: Rows, episode: EpisodeInfo, info: DatasetInfo) -> dict[str, NDArray[Any]]:
    """The columns of an episode's rows, `(L,)` or `(L, D)`."""
    keys, mouse = np.split(rows.actions, [len(info.control_spec.keys)], axis=1)
    steps = np.arange(len(rows))
    return {
        "action.keyboard": (keys >= 0.5).astype(np.uint8),
        "action.mouse": mouse,
        "observation.state": rows.states,
        "next.reward": rows.rewards,
        "next.terminated": rows.terminated,
        "next.truncated": rows.truncated,
        "timestamp": (steps * info.rate.denominator / info.rate.numerator).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(len(rows), episode.index),
        "index": episode.first_row + steps,
        "task_index": np.zeros(len(rows), np.int64),
    }


def _column(array: NDArray[Any]) -> pa.Array | None:
    """`(L,)` or `(L, D)` -> a column; LeRobot stores vectors of width 1 as plain numbers and has none of width 0."""
    width = 1 if array.ndim == 1 else array.shape[1]
    if width == 0:
        return None
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    return flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _matrix(table: pa.Table, name: str, rows: int, width: int) -> NDArray[np.float32]:
    if width == 0:
        return np.zeros((rows, 0), np.float32)
    column = table[name].combine_chunks()
    flat = column if width == 1 else column.flatten()
    return flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(rows, width)


def _write_table(path: Path, table: pa.Table) -> None:
    """Writes a table; `replacing` gives an absolute path, since pyarrow takes "run:1/a" for an address."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _read_table(path: Path) -> pa.Table:
    try:
        file = pq.ParquetFile(os.path.abspath(path))
        check_unpacked(file.metadata, path)
        return file.read()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last where a column's name is no text
        raise damaged(path, error) from error


def check_unpacked(about: pq.FileMetaData, path: Path) -> None:
    """Raises `DataError` if a parquet file says that it would fill more memory than any of ours: a few bytes can say so."""
    size = path.stat().st_size
    unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > size or unpacked > UNPACKED * size + ALWAYS:  # a row takes several bytes
        raise damaged(path, f"{about.num_rows} rows and {unpacked} bytes out of a file of {size}")
