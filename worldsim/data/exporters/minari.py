"""Datasets as Minari datasets, without loss: frames are stored as they are decoded, not as JPEGs.

An episode of T rows has T steps. Row t becomes observation t, action t, and the reward and end of step t.
Minari wants a last observation too, which recordings do not hold: it repeats the last frame. Actions are
elements of `ControlSpec.action_space`, whose mouse is in units of its limit. The exact controls are in
`infos["controls"]`, each at the observation that it led to.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data.dataset import Dataset, Episode
from worldsim.data.exporters.folder import new_folder
from worldsim.data.format import LABELS
from worldsim.data.importers.minari import OURS
from worldsim.errors import DataError

NAME = re.compile(r"[-_\w]+-v\d+", re.ASCII)


def export_minari(dataset: Dataset, out: Path, *, progress: bool = True) -> None:
    """Writes a Minari dataset. `MINARI_DATASETS_PATH=<folder above> ` makes it loadable by the name of its
    folder.

    Args:
        dataset: to export.
        out: folder, new or empty, named like Minari's datasets: `take-cover-v0`.
        progress: show a progress bar.

    Raises:
        DataError: if Minari is missing, or `out` is named otherwise or holds something.
        FileError: if it cannot be written.
    """
    if NAME.fullmatch(out.name) is None:
        raise DataError(f"out was {out}; Minari names datasets with a version at the end, such as {out.name or 'mine'}-v0.")
    try:
        from gymnasium.spaces import Box
        from minari import __version__
        from minari.data_collector.episode_buffer import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise DataError('Minari datasets need Minari: pip install "worldsim-dit[minari]".') from error
    with new_folder(out) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari's, about spaces
        pictures = Box(0, 255, dataset.frame_shape, np.uint8)
        storage = MinariStorage.new(folder / "data", pictures, dataset.spec.action_space(), jpeg_encoding=False)
        storage.update_metadata({"dataset_id": out.name, "minari_version": __version__, **_about(dataset)})
        for i in tqdm(range(len(dataset)), desc="exporting", unit="episode", disable=not progress):
            episode = dataset.episode(i)
            storage.update_episodes([EpisodeBuffer(id=i, seed=episode.info.seed, **_arrays(dataset, episode))])
            labels = {name: getattr(episode.info, name) for name in LABELS if name != "seed"}
            storage.update_episode_metadata([{OURS: json.dumps(labels)}], [i])


def _arrays(dataset: Dataset, episode: Episode) -> dict[str, Any]:
    infos = {"controls": np.concatenate([np.zeros_like(episode.actions[:1]), episode.actions])}
    if dataset.info.state:
        infos["state"] = _with_last(episode.states)
    return {
        "observations": _with_last(episode.frames),
        "actions": dataset.spec.to_action(episode.actions),
        "rewards": episode.rewards,
        "terminations": episode.terminated,
        "truncations": episode.truncated,
        "infos": infos,
    }


def _with_last(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """`(T, ...)` -> `(T + 1, ...)`, the last once more."""
    return np.concatenate([values, values[-1:]])


def _about(dataset: Dataset) -> dict[str, Any]:
    """Metadata: Minari's, and what the importer needs."""
    info = dataset.info
    ours = {**asdict(info), "control_spec": info.control_spec.to_dict()}
    described = f"{info.game}, recorded by worldsim. The last observation of an episode repeats the one before it."
    policies = sorted({episode.policy for episode in dataset.episodes})
    return {"description": described, "algorithm_name": ", ".join(policies), OURS: json.dumps(ours)}
