"""Episodes as clips to look at, with keys and mouse below the frame.

Below frame t are the controls that were held at it; what they did shows in frame t + 1.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from worldsim.data.dataset import Dataset
from worldsim.data.exporters.config import ExportConfig
from worldsim.data.format import video_path
from worldsim.data.images import CLIP_ENDINGS, ClipWriter
from worldsim.data.video import read_frames
from worldsim.errors import DataError
from worldsim.files import check_writable
from worldsim.provenance import Claim


def export_clip(dataset: Dataset, config: ExportConfig) -> int:
    """Writes frames of one episode as a clip; one that a world dreamed is marked.

    Args:
        dataset: that holds the episode.
        config: of the export.

    Returns:
        How many frames the clip has.

    Raises:
        DataError: if there is no such episode or frame, or it is damaged.
        FileError: if the file cannot be written.
    """
    from worldsim.data.exporters.overlay import Overlay

    check_writable(config.out, [ending for ending in CLIP_ENDINGS if ending == f".{config.to}"])
    if config.episode >= len(dataset):
        raise DataError(f"episode was {config.episode}; the dataset has {len(dataset)}: give 0 to {len(dataset) - 1}.")
    episode = dataset.episodes[config.episode]
    if config.first >= episode.length:
        raise DataError(f"first was {config.first}; the episode has {episode.length} frames: give less.")
    stop = episode.length if config.frames is None else min(episode.length, config.first + config.frames)
    actions, path = dataset.episode_rows(config.episode).actions[config.first : stop], video_path(dataset.root, episode.index)
    strip = Overlay(dataset.spec, dataset.info.width * config.scale) if config.overlay else None
    claim = Claim.of_labels(asdict(episode))
    with ClipWriter(config.out, dataset.fps, 1, claim, config.marks) as clip:
        for frame, vector in zip(read_frames(path, dataset.fps, config.first, stop, episode.length), actions, strict=True):
            large = frame.repeat(config.scale, 0).repeat(config.scale, 1)
            clip.append(large if strip is None else np.concatenate([large, strip.draw(vector)]))
    return stop - config.first
