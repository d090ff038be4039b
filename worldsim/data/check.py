"""Finds out whether a dataset is whole: counts, rows against videos, content against recorded hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldsim.data.format import (
    INFO_PATH,
    DatasetInfo,
    EpisodeInfo,
    Rows,
    data_path,
    episode_files,
    orphans,
    read_info,
    video_path,
)
from worldsim.data.tables import hash_episode, read_episode, read_rows
from worldsim.data.video import count_frames, read_frames
from worldsim.errors import DataError
from worldsim.files import is_temporary, read_json


def check(root: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Reads a whole dataset and lists what is wrong with it. Nothing is changed.

    The frames of a video are counted by its index and compared with the rows. Content is compared with the hash that
    was taken when it was recorded; where there is none, because the recording is older, the video is decoded.

    Args:
        root: folder of the dataset.
        progress: show a progress bar.

    Returns:
        `episodes` and `frames` that were found, and `problems`, one sentence each: none in a whole dataset.

    Raises:
        DataError: if there is no dataset at `root`.
    """
    root = Path(root)
    info, files = read_info(root), sorted(episode_files(root).items())
    problems: list[str] = []
    episodes: list[EpisodeInfo] = []
    for index, path in tqdm(files, desc="checking", unit="episode", disable=not progress):
        try:
            episode = read_episode(path)
            problems += _episode_problems(root, info, index, episode)
            episodes.append(episode)
        except DataError as error:
            problems.append(str(error))
    problems += _totals_problems(root, episodes)
    return {"episodes": len(episodes), "frames": sum(episode.length for episode in episodes), "problems": problems}


def format_check(figures: dict[str, Any]) -> str:
    """What `check` found, as lines to read."""
    lines = [f"{figures['episodes']} episodes, {figures['frames']} frames"]
    return "\n".join([*lines, *figures["problems"], f"{len(figures['problems']) or 'no'} problems"])


def _episode_problems(root: Path, info: DatasetInfo, index: int, episode: EpisodeInfo) -> Iterator[str]:
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
    if episode.content_hash is None:
        for frame in read_frames(video, info.fps, 0, frames, frames):
            if frame.shape != info.frame_shape:
                yield f"episode {index} has frames of shape {frame.shape}, the dataset of {info.frame_shape}."
                return
    elif hash_episode(video, rows) != episode.content_hash:
        yield f"episode {index} is not as it was recorded: the content of {video} or of its rows differs from the hash."


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
            yield f"{begins}; recording into the dataset mends that."
            break
        row += episode.length
    content = read_json(root / INFO_PATH)
    for name, found in (("total_episodes", len(episodes)), ("total_frames", sum(e.length for e in episodes))):
        if content.get(name) != found:
            yield f"{INFO_PATH} says {name} {content.get(name)}, there are {found}; recording into the dataset mends that."
    for path in (*orphans(root), *(path for path in root.rglob("*") if is_temporary(path))):
        yield f"{path} belongs to no finished episode; recording into the dataset moves it aside."
