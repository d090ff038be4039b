"""Datasets as LeRobot v3 datasets for LeRobot's training scripts.

Recordings have that layout already, so that its reader reads them. Exported ones have, as its scripts want
it, one vector `action` (the control spec's, mouse in degrees), `next.done`, statistics of every episode in a
table, and the rows of many episodes in one file. The frames stay as they are, each episode in a video of its
own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.data.exporters.folder import new_folder
from worldsim.data.format import (
    DATA_PATH,
    EPISODE_PATH,
    INFO_PATH,
    LABELS,
    VIDEO_KEY,
    DatasetInfo,
    EpisodeInfo,
    Rows,
    location,
    video_path,
)
from worldsim.data.recorder import STATS_PATH
from worldsim.data.stats import Stats, combine_all, summarise
from worldsim.data.tables import row_stats, task_name, write_tasks
from worldsim.data.video import summarise_video
from worldsim.files import named_errors, write_json

ROWS_PER_FILE = 1_000_000
REPLACED = ("action.keyboard", "action.mouse")  # by "action"


def export_lerobot(dataset: Dataset, out: Path, *, progress: bool = True) -> None:
    """Writes a LeRobot v3 dataset.

    Args:
        dataset: to export.
        out: folder, new or empty.
        progress: show a progress bar.

    Raises:
        DataError: if `out` holds something, or an episode is damaged.
        FileError: if it cannot be written.
    """
    with new_folder(out) as root:
        info, first_row, metadata, all_stats = dataset.info, 0, [], []
        with _RowFiles(root) as files:
            for i in tqdm(range(len(dataset)), desc="exporting", unit="episode", disable=not progress):
                rows, source = dataset.episode_rows(i), video_path(dataset.root, dataset.episodes[i].index)
                episode = _renumbered(dataset.episodes[i], i, first_row)
                stats = _stats(rows, episode, info, source)
                place = files.append(_rows(rows, episode, info))
                _copy(source, video_path(root, i))
                metadata.append(_metadata(episode, info, place, stats))
                all_stats.append(stats)
                first_row += len(rows)
        table = root / EPISODE_PATH.format(chunk_index=0, file_index=0)
        table.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(metadata), table)
        write_tasks(root, info)
        write_json(root / STATS_PATH, combine_all(all_stats))
        write_json(root / INFO_PATH, _info(info, [_renumbered(e, i, 0) for i, e in enumerate(dataset.episodes)]))


class _RowFiles:
    """Parquet files that are filled one after the other."""

    def __init__(self, root: Path) -> None:
        self._root, self._file, self._rows = root, -1, ROWS_PER_FILE
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _RowFiles:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def append(self, table: pa.Table) -> dict[str, int]:
        """Adds an episode's rows; returns the place of their file."""
        if self._rows + table.num_rows > ROWS_PER_FILE:
            self.__exit__()
            self._file, self._rows = self._file + 1, 0
            path = self._root / DATA_PATH.format(**location(self._file))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(os.path.abspath(path), table.schema)
        assert self._writer is not None
        self._writer.write_table(table)
        self._rows += table.num_rows
        return location(self._file)


def _renumbered(episode: EpisodeInfo, index: int, first_row: int) -> EpisodeInfo:
    return EpisodeInfo(index, episode.length, first_row, episode.game, **{name: getattr(episode, name) for name in LABELS})


def _rows(rows: Rows, episode: EpisodeInfo, info: DatasetInfo) -> pa.Table:
    steps = np.arange(len(rows))
    columns: dict[str, Any] = {
        "action": _vectors(rows.actions),
        **({"observation.state": _vectors(rows.states)} if info.state else {}),
        "next.reward": pa.array(rows.rewards),
        "next.terminated": pa.array(rows.terminated),
        "next.truncated": pa.array(rows.truncated),
        "next.done": pa.array(rows.terminated | rows.truncated),
        "timestamp": pa.array((steps * info.rate.denominator / info.rate.numerator).astype(np.float32)),
        "frame_index": pa.array(steps),
        "episode_index": pa.array(np.full(len(rows), episode.index)),
        "index": pa.array(episode.first_row + steps),
        "task_index": pa.array(np.zeros(len(rows), np.int64)),
    }
    return pa.table(columns)


def _vectors(values: np.ndarray[Any, np.dtype[np.float32]]) -> pa.Array:
    """`(L, D)` -> a column; LeRobot stores vectors of width 1 as plain numbers."""
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return flat if values.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _stats(rows: Rows, episode: EpisodeInfo, info: DatasetInfo, video: Path) -> Stats:
    kept = {name: summary for name, summary in row_stats(rows, episode, info).items() if name not in REPLACED}
    done = summarise(rows.terminated | rows.truncated)
    pictures = summarise_video(video, info.fps, episode.length)
    return {VIDEO_KEY: pictures, "action": summarise(rows.actions), "next.done": done, **kept}


def _metadata(episode: EpisodeInfo, info: DatasetInfo, place: dict[str, int], stats: Stats) -> dict[str, Any]:
    here = {"chunk_index": 0, "file_index": 0}
    places = {"data": place, f"videos/{VIDEO_KEY}": location(episode.index), "meta/episodes": here}
    return {
        "episode_index": episode.index,
        "tasks": [task_name(info)],
        "length": episode.length,
        "dataset_from_index": episode.first_row,
        "dataset_to_index": episode.first_row + episode.length,
        **{f"{part}/{name}": value for part, where in places.items() for name, value in where.items()},
        f"videos/{VIDEO_KEY}/from_timestamp": 0.0,
        f"videos/{VIDEO_KEY}/to_timestamp": float(episode.length / info.rate),
        **{f"stats/{name}/{figure}": value for name, summary in stats.items() for figure, value in summary.items()},
        **{name: getattr(episode, name) for name in LABELS},
    }


def _info(info: DatasetInfo, episodes: list[EpisodeInfo]) -> dict[str, Any]:
    content = info.to_json(episodes)
    action = {"dtype": "float32", "shape": [info.control_spec.size], "names": list(info.control_spec.names)}
    features = {name: about for name, about in content["features"].items() if name not in REPLACED}
    features = {"action": action, **features, "next.done": {"dtype": "bool", "shape": [1], "names": None}}
    sizes = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200}  # LeRobot's own limits, for what it may add
    return {**content, **sizes, "splits": {"train": f"0:{len(episodes)}"}, "features": features}


def _copy(source: Path, target: Path) -> None:
    with named_errors("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
