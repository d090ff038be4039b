"""The parquet files of a dataset: rows, episodes and LeRobot's tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldsim.data.format import VIDEO_KEY, DatasetInfo, EpisodeInfo, Rows, damaged, location
from worldsim.files import replacing

TASKS_PATH = "meta/tasks.parquet"

_PARTS = ("data", f"videos/{VIDEO_KEY}", "meta/episodes")
_LABELS = ("game", "policy", "split", "world_hash", "sampler", "start")


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
    keys, mouse = np.split(rows.actions, [len(info.control_spec.keys)], axis=1)
    steps = np.arange(len(rows))
    columns = {
        "action.keyboard": _vectors((keys >= 0.5).astype(np.uint8)),
        "action.mouse": _vectors(mouse),
        "observation.state": _vectors(rows.states),
        "next.reward": pa.array(rows.rewards),
        "next.terminated": pa.array(rows.terminated),
        "next.truncated": pa.array(rows.truncated),
        "timestamp": pa.array((steps / info.fps).astype(np.float32)),
        "frame_index": pa.array(steps),
        "episode_index": pa.array(np.full(len(rows), episode.index)),
        "index": pa.array(episode.first_row + steps),
        "task_index": pa.array(np.zeros(len(rows), np.int64)),
    }
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


def write_episode(path: Path, episode: EpisodeInfo, info: DatasetInfo) -> None:
    place = location(episode.index)
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "episode_index": (pa.int64(), episode.index),
        "tasks": (pa.list_(pa.string()), [task_name(info)]),
        "length": (pa.int64(), episode.length),
        "dataset_from_index": (pa.int64(), episode.first_row),
        "dataset_to_index": (pa.int64(), episode.first_row + episode.length),
        **{f"{part}/{name}": (pa.int64(), value) for part in _PARTS for name, value in place.items()},
        f"videos/{VIDEO_KEY}/from_timestamp": (pa.float64(), 0.0),
        f"videos/{VIDEO_KEY}/to_timestamp": (pa.float64(), episode.length / info.fps),
        "seed": (pa.uint64(), episode.seed),
        **{name: (pa.string(), getattr(episode, name)) for name in _LABELS},
    }
    _write_table(path, pa.table({name: pa.array([value], kind) for name, (kind, value) in columns.items()}))


def read_episode(path: Path) -> EpisodeInfo:
    """Reads what `write_episode` wrote.

    Raises:
        DataError: if the file is missing or damaged.
    """
    rows = _read_table(path).to_pylist()
    try:
        (row,) = rows
        labels = {name: row[name] for name in ("seed", *_LABELS)}
        return EpisodeInfo(index=row["episode_index"], length=row["length"], first_row=row["dataset_from_index"], **labels)
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from error


def _vectors(array: NDArray[Any]) -> pa.Array | None:
    """`(L, D)` -> a column of vectors; LeRobot stores width 1 as plain numbers and has no width 0."""
    width = array.shape[1]
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
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
