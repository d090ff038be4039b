"""The dataset of the control experiment: the same recordings, in which actions mean nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np

from worldsim.data import Dataset
from worldsim.data.format import data_path, episode_path
from worldsim.data.tables import read_rows, write_episode, write_rows


def shuffle_controls(source: Path, out: Path) -> Path:
    """Copies a dataset in which every action is that of another moment, half the dataset away; the videos are linked.

    Actions keep their frequencies and how long they are held, and lose all that they do.

    Returns:
        `out`, which appears once it is complete.
    """
    if out.exists():
        return out
    partial = out.with_name(f"{out.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, copy_function=link)
    dataset = Dataset(source)
    everything = dataset.rows.actions
    actions = np.split(np.roll(everything, len(everything) // 2, axis=0), np.cumsum(dataset.lengths)[:-1])
    for i, episode in enumerate(dataset.episodes):
        path = data_path(partial, episode.index)
        rows = dataclasses.replace(read_rows(path, dataset.info), actions=actions[i])
        write_rows(path, rows, episode, dataset.info)
        if episode.content_hash is None:  # an older recording: the copy goes by the name of what was recorded
            named = dataclasses.replace(episode, content_hash=dataset.content_hash(i))
            write_episode(episode_path(partial, episode.index), named, dataset.info, {})
    partial.rename(out)
    return out


def link(source: str, target: str) -> None:
    """A second name for a file where the file system allows it, otherwise a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
