"""A contact sheet of long dreams beside the recordings that begin at the same moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from worldsim.data import Dataset
from worldsim.errors import DataError
from worldsim.eval import pictures
from worldsim.eval.clips import Place, Way, encode, load_clips, roll_out
from worldsim.eval.config import EvalConfig
from worldsim.eval.control import predicted_controls
from worldsim.world import World


def draw_dreams(world: World, dataset: Dataset, path: Path, config: EvalConfig) -> None:
    """Writes every `config.sheet_every`th frame of long dreams as a PNG, each below the recording of the same moment.

    The dreams follow the beginnings of the longest held-out episodes, under the recorded controls. Where a recording ends, its
    row stays black and its controls begin again. The ends that the world predicts are ignored.

    Raises:
        DataError: if no held-out episode is longer than a context.
    """
    context, frames = world.config.dynamics.window, config.sheet_frames
    places = longest(dataset, context, frames, config.pictured)
    clips = load_clips(dataset, places, context + frames)
    controls = clips.controls.copy()
    controls[:, context:] = predicted_controls(dataset, places, context, frames)
    latents = encode(world, clips.frames[:, :context])
    unseen = torch.zeros(len(places), frames, *latents.shape[2:], device=latents.device, dtype=latents.dtype)
    seeds = [config.seed + i for i in range(len(places))]
    with tqdm(total=len(places) * frames, desc="dreaming for the contact sheet", unit="frame", leave=False) as bar:
        whole = torch.cat([latents, unseen], 1)
        (dream,) = roll_out(world, whole, controls, [Way(controls[:, context:])], seeds, forced=False, progress=bar.update)
    dreamed = np.concatenate([clips.frames[:, :context], dream.frames], 1)
    pictures.save_sheet(path, clips.frames, dreamed, list(range(context - 1, context + frames, config.sheet_every)))


def longest(dataset: Dataset, context: int, frames: int, count: int) -> list[Place]:
    """The beginnings of the longest episodes, the longest first, with up to `frames` frames after the context."""
    order = sorted(range(len(dataset)), key=lambda i: -dataset.episodes[i].length)[:count]
    rooms = [(i, dataset.episodes[i].length - context) for i in order]
    places = [Place(i, 0, min(room, frames)) for i, room in rooms if room > 0]
    if not places:
        raise DataError(f"no held-out episode of {dataset.root} is {context + 1} frames long; collect longer ones.")
    return places
