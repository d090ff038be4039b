"""LeRobot datasets of format v3, of others or exported by us; the package lerobot is not needed.

Row t of an episode holds the observation, the action taken at it, and in `next.*` what that led to, as in our
format.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data.format import DATA_PATH, INFO_PATH, LABELS, MAX_FPS, VIDEO_PATH, DatasetInfo
from worldsim.data.importers.actions import ActionMap, continuous
from worldsim.data.importers.config import LeRobotConfig
from worldsim.data.importers.frames import VideoInfo, probe, video_frames
from worldsim.data.importers.source import NO_STATE, Imported, Recording, Row, dataset_info, run
from worldsim.data.recorder import STATS_PATH
from worldsim.data.tables import check_unpacked
from worldsim.errors import DataError, check_int, check_number, printable, shown
from worldsim.files import read_json

NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)  # of a feature; it becomes part of a path
PLACE = ("chunk_index", "file_index", "from_timestamp")
OUTCOMES = ("next.reward", "next.terminated", "next.truncated", "next.done")


def import_lerobot(config: LeRobotConfig, *, progress: bool = True) -> Imported:
    """Imports a LeRobot dataset.

    Raises:
        DataError: if it is no such dataset, lacks videos or actions, or what the actions do is unknown.
        FileError: if the dataset cannot be written.
    """
    about = read_json(config.path / INFO_PATH, "features", "fps", "codebase_version")
    if not str(about["codebase_version"]).startswith("v3"):
        raise DataError(f"{config.path} has LeRobot's format {shown(about['codebase_version'])}; convert it to v3.0 first.")
    try:
        key = _video_key(about["features"], config.image)
        episodes = _episodes(config.path, key)
        actions = _actions(config, about)
        path = config.path / VIDEO_PATH.format(video_key=key, **episodes[0][key])
        video = probe(path)
        fps = check_number("fps", config.fps or about["fps"], 0.01, MAX_FPS, error=DataError)
        found = VideoInfo(video.height, video.width, Fraction(fps).limit_denominator(1001))
        info = dataset_info(config, found, actions.spec, **_more(config, about.get("worldsim")))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(config.path, error) from error
    rows = functools.partial(_rows, config.path, key, info, actions)
    recordings = [Recording(f"episode {e['episode_index']}", functools.partial(rows, e), _labels(e)) for e in episodes]
    return run(config, info, recordings, progress=progress)


def _rows(root: Path, key: str, info: DatasetInfo, actions: ActionMap, episode: dict[str, Any]) -> Iterator[Row]:
    place = {name: episode["data"][name] for name in PLACE[:2]}
    table = _read(root / DATA_PATH.format(**place), filters=[("episode_index", "=", episode["episode_index"])])
    length = table.num_rows
    if length != episode["length"]:
        raise DataError(f"{root}: episode {episode['episode_index']} has {length} rows instead of {episode['length']}.")
    try:
        vectors = _vectors(table, actions)
        reward, terminated, truncated, done = (_column(table, name, length)[:, 0] for name in OUTCOMES)
        states = _column(table, "observation.state", length) if info.state else [NO_STATE] * length
    except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise _damaged(root, error) from error
    if not terminated.any() and not truncated.any():  # LeRobot's own column says only that an episode is over
        truncated = done
    start, video = episode[key]["from_timestamp"], root / VIDEO_PATH.format(video_key=key, **episode[key])
    frames = video_frames(video, info.height, info.width, start)
    for t in range(length):
        frame = next(frames, None)
        if frame is None:
            raise DataError(f"{video} ends after {t} frames of {length}; it is damaged.")
        yield Row(frame, vectors[t], float(reward[t]), bool(terminated[t]), bool(truncated[t]), states[t])


def _video_key(features: Mapping[str, Any], wanted: str | None) -> str:
    """The name of the pictures: the one wanted, or the only one."""
    videos = [name for name, about in features.items() if about["dtype"] == "video"]
    key = wanted or (videos[0] if len(videos) == 1 else None)
    if key not in videos or NAME.fullmatch(key) is None:
        raise DataError(f"image was {shown(wanted)}; choose from the videos: {shown(videos)}.")
    return key


def _episodes(root: Path, key: str) -> list[dict[str, Any]]:
    """Of every episode its number, its length, and where its rows and its video are."""
    found = []
    for path in sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet")):
        for row in _read(path).to_pylist():
            video = {name: row[f"videos/{key}/{name}"] for name in PLACE}
            data = {name: row[f"data/{name}"] for name in PLACE[:2]}
            labels = {name: row[name] for name in LABELS if row.get(name) is not None}
            numbers = {name: row[name] for name in ("episode_index", "length")}
            check_number("from_timestamp", video["from_timestamp"], 0, 2**40, error=DataError)
            for name, number in {**numbers, **data, **{name: video[name] for name in PLACE[:2]}}.items():
                check_int(name, number, 0, 2**40, DataError)
            found.append({**numbers, "data": data, key: video, "labels": labels})
    if not found:
        raise DataError(f"{root} has no episode under meta/episodes; check the path.")
    return sorted(found, key=lambda episode: episode["episode_index"])


def _labels(episode: dict[str, Any]) -> dict[str, Any]:
    return episode["labels"] or {"policy": "lerobot"}


def _more(config: LeRobotConfig, ours: Any) -> dict[str, Any]:
    """What we wrote of the recording, if it was ours."""
    if not isinstance(ours, dict):
        return {}
    more = {"state": tuple(ours["state"]), "frame_skip": ours["frame_skip"] * config.every}
    return {**more, "game": ours["game"]} if config.game == LeRobotConfig.game else more


def _actions(config: LeRobotConfig, about: Mapping[str, Any]) -> ActionMap:
    """What the entries of an action do: as its names say, or as `config.actions` does."""
    ours = about.get("worldsim")
    if isinstance(ours, dict) and not config.actions:
        spec = ControlSpec.from_dict(ours["control_spec"])
        return ActionMap(spec, np.eye(spec.size, dtype=np.float32), False)
    feature = about["features"].get("action")
    if feature is None:
        raise DataError(f"{config.path} has no feature 'action', so there is nothing to import as controls.")
    width = int(np.prod(feature["shape"]))
    words = config.actions or tuple(feature["names"] if isinstance(feature["names"], list) else ())
    if len(words) != width:
        raise DataError(f"each action is {width} numbers; say what each does, such as --actions mouse.dx=10 space none.")
    return continuous(words, _largest(config.path, width))


def _largest(root: Path, width: int) -> NDArray[np.float32]:
    """The largest absolute value of each entry of an action, `(width,)`, by the statistics or from all rows."""
    if (root / STATS_PATH).is_file():
        about = read_json(root / STATS_PATH).get("action") or {}
        bounds = np.abs([np.reshape(about[name], -1) for name in ("min", "max") if name in about])
        if bounds.shape == (2, width):
            return bounds.max(0).astype(np.float32)
    files = sorted((root / "data").glob("chunk-*/file-*.parquet"))
    tables = [_read(path, columns=["action"]) for path in files]
    return np.max([np.abs(_column(table, "action", table.num_rows)).max(0) for table in tables], axis=0)


def _vectors(table: pa.Table, actions: ActionMap) -> NDArray[np.float32]:
    if "action" in table.column_names:
        return actions.vectors(_column(table, "action", table.num_rows))
    parts = [_column(table, name, table.num_rows) for name in ("action.keyboard", "action.mouse") if name in table.column_names]
    return actions.vectors(np.concatenate(parts, axis=1))


def _column(table: pa.Table, name: str, length: int) -> NDArray[np.float32]:
    """A column as `(T, D)`; zeros where it is missing."""
    if name not in table.column_names:
        return np.zeros((length, 1), np.float32)
    return np.array(table[name].to_pylist(), np.float32).reshape(length, -1)


def _read(path: Path, **options: Any) -> pa.Table:
    try:
        check_unpacked(pq.read_metadata(os.path.abspath(path)), path)
        return pq.read_table(os.path.abspath(path), **options, partitioning=None)
    except DataError:
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read ({printable(str(error), 200)}); it is damaged, or no LeRobot v3 dataset.")
