"""Finds out whether a dataset is whole, and mends what can be mended without losing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldsim.data.folder import ORPHANS, set_aside
from worldsim.data.format import (
    INFO_PATH,
    DatasetInfo,
    EpisodeInfo,
    Rows,
    data_path,
    episode_files,
    episode_path,
    orphans,
    read_info,
    video_path,
)
from worldsim.data.recorder import Recorder
from worldsim.data.tables import hash_episode, read_episode, read_rows
from worldsim.data.video import count_frames, read_frames
from worldsim.errors import DataError
from worldsim.files import is_temporary, lock, read_json


def check(root: str | Path, *, quick: bool = False, progress: bool = True) -> dict[str, Any]:
    """Reads a whole dataset and lists what is wrong with it. Nothing is changed.

    Every row is compared with its frame in the video, which is decoded; counts with what the metadata says; content with the
    hashes that were taken when it was recorded.

    Args:
        root: folder of the dataset.
        quick: do not decode: frames are counted by the index of their video.
        progress: show a progress bar.

    Returns:
        `episodes` and `frames` that were found; `problems`, one sentence each, none in a whole dataset; and `damaged`, the
        indices of episodes that are not as they were recorded.

    Raises:
        DataError: if there is no dataset at `root`.
    """
    root = Path(root)
    info, files = read_info(root), sorted(episode_files(root).items())
    problems: list[str] = []
    damaged: list[int] = []
    episodes: list[EpisodeInfo] = []
    for index, path in tqdm(files, desc="checking", unit="episode", disable=not progress):
        before = len(problems)
        try:
            episode = read_episode(path)
            problems += _episode_problems(root, info, index, episode, quick)
            episodes.append(episode)
        except DataError as error:
            problems.append(str(error))
        if len(problems) > before:
            damaged.append(index)
    problems += _totals_problems(root, episodes)
    frames = sum(episode.length for episode in episodes)
    return {"episodes": len(episodes), "frames": frames, "problems": problems, "damaged": damaged}


def repair(root: str | Path, damaged: Iterable[int]) -> list[str]:
    """Mends a dataset after `check`. Nothing is deleted but temporary files, whose names only we give.

    Files of damaged episodes, and of episodes without metadata, are moved to the folder "orphans" in the dataset. Row numbers
    and totals are then counted anew.

    Args:
        root: folder of the dataset.
        damaged: from `check`.

    Returns:
        What was done, one sentence each.

    Raises:
        DataError: if there is no dataset at `root`.
        FileError: if another process is recording into it, or it cannot be written.
    """
    root, done = Path(root), []
    info = read_info(root)
    with lock(root, "repairing"):
        for index in damaged:
            moved = [set_aside(root, path) for at in (episode_path, data_path, video_path) if (path := at(root, index)).is_file()]
            done.append(f"episode {index}: {len(moved)} files moved to {root / ORPHANS}")
        done += [f"{path} moved to {root / ORPHANS}" for path in orphans(root)]
        done += [f"{path} removed" for path in root.rglob("*") if is_temporary(path)]
    before = read_json(root / INFO_PATH)
    with Recorder(root, info) as recorder:
        pass
    after = read_json(root / INFO_PATH)
    if before != after:
        count = len(recorder.episodes)
        done.append(f"{INFO_PATH} counted anew: {count} episodes, {sum(e.length for e in recorder.episodes.values())} frames")
    return done


def format_check(figures: dict[str, Any]) -> str:
    """What `check` found, as lines to read."""
    lines = [f"{figures['episodes']} episodes, {figures['frames']} frames"]
    return "\n".join([*lines, *figures["problems"], f"{len(figures['problems']) or 'no'} problems"])


def _episode_problems(root: Path, info: DatasetInfo, index: int, episode: EpisodeInfo, quick: bool) -> Iterator[str]:
    """What is wrong with one episode.

    Raises:
        DataError: if one of its files cannot be read at all.
    """
    rows, video = read_rows(data_path(root, index), info), video_path(root, index)
    frames = count_frames(video)
    if episode.index != index:
        yield f"episode {index} calls itself {episode.index}; its files were renamed."
    if episode.game != info.game:
        yield f"episode {index} is of the game {episode.game!r}, the dataset of {info.game!r}."
    if not len(rows) == frames == episode.length:
        yield f"episode {index} has {frames} frames, {len(rows)} rows, and {episode.length} by its metadata."
        return
    yield from _row_problems(index, rows)
    if episode.content_hash is not None and hash_episode(video, rows) != episode.content_hash:
        yield f"episode {index} is not as it was recorded: the content of {video} or of its rows differs from the hash."
    elif not quick or episode.content_hash is None:
        yield from _frame_problems(info, index, episode, video)


def _frame_problems(info: DatasetInfo, index: int, episode: EpisodeInfo, video: Path) -> Iterator[str]:
    """What is wrong with the frames of one episode, all of which are decoded.

    Raises:
        DataError: if there is none for a row.
    """
    digest = hashlib.sha256()
    for t, frame in enumerate(read_frames(video, info.fps, 0, episode.length, episode.length)):
        if frame.shape != info.frame_shape:
            yield f"frame {t} of episode {index} has shape {frame.shape}, the dataset {info.frame_shape}."
            return
        if info.lossless:
            digest.update(np.ascontiguousarray(frame).data)
    if info.lossless and episode.frames_hash not in (None, digest.hexdigest()):
        yield f"episode {index} shows other frames than were recorded: they differ from the hash."


def _row_problems(index: int, rows: Rows) -> Iterator[str]:
    for name in ("actions", "rewards"):
        if not np.isfinite(getattr(rows, name)).all():
            yield f"episode {index} has {name} that are not finite."
    if (rows.terminated[:-1] | rows.truncated[:-1]).any():
        yield f"episode {index} goes on after a row that ends it."


def _totals_problems(root: Path, episodes: list[EpisodeInfo]) -> Iterator[str]:
    row = 0
    for episode in episodes:
        if episode.first_row != row:
            begins = f"episode {episode.index} begins at row {episode.first_row} instead of {row}"
            yield f"{begins}; --repair mends that."
            break
        row += episode.length
    content = read_json(root / INFO_PATH)
    for name, found in (("total_episodes", len(episodes)), ("total_frames", sum(e.length for e in episodes))):
        if content.get(name) != found:
            yield f"{INFO_PATH} says {name} {content.get(name)}, there are {found}; --repair mends that."
    for path in (*orphans(root), *(path for path in root.rglob("*") if is_temporary(path))):
        yield f"{path} belongs to no finished episode; --repair clears it away."
