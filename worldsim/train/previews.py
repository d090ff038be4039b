"""Pictures of how training goes, written next to the checkpoints: look at them, a loss curve is not a world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.data.images import save_png
from worldsim.device import autocast, compute_dtype
from worldsim.model.dit import DiT
from worldsim.model.sampler import Stream
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.train.checks import check_fields


@dataclass(frozen=True)
class PreviewConfig:
    """What pictures show.

    Attributes:
        images: held-out frames that are reconstructed.
        dreams: rows of dreams.
        frames: of a dream.
        every: so many frames one is shown.
    """

    images: int = 8
    dreams: int = 3
    frames: int = 33
    every: int = 4

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("images", "dreams", "frames", "every"), 1))


@torch.inference_mode()
def tokenizer(model: Tokenizer, held_out: Dataset, path: Path, device: torch.device, config: PreviewConfig) -> None:
    """Held-out frames above, their reconstructions below."""
    chosen = np.random.default_rng(0).integers(0, len(held_out), config.images)
    frames = np.stack([held_out.frames(int(e), n := int(held_out.lengths[e]) // 2, n + 1)[0] for e in chosen])
    with autocast(device):
        decoded = model.decode_frames(model.encode(to_images(torch.from_numpy(frames).to(device), compute_dtype(device))))
    save_png(path, grid([frames, decoded.cpu().numpy()]))


@torch.inference_mode()
def dynamics(
    model: DiT, tokenizer: Tokenizer, held_out: Dataset, path: Path, device: torch.device, config: PreviewConfig
) -> None:
    """Per held-out episode, real frames above and the dream under the same controls below, every so many frames."""
    window, frames = model.config.window, config.frames
    long = np.flatnonzero(held_out.lengths > window + frames)[: config.dreams]
    if not len(long):
        return
    held = held_out.clips(long, np.zeros_like(long), window + frames)
    clips, controls = held.frames, torch.from_numpy(held.controls / held_out.spec.scale()).to(device)
    with autocast(device):
        context = torch.stack(
            [tokenizer.encode(to_images(torch.from_numpy(clip[:window]).to(device), compute_dtype(device))) for clip in clips]
        )
        generator = torch.Generator(device).manual_seed(0)
        shape = (2, *clips.shape[:2], *context.shape[2:])
        noise = torch.randn(shape, generator=generator, dtype=torch.float32, device=device)
        uniforms = torch.rand(shape[1:-1], generator=generator, dtype=torch.float32, device=device)
        draws = zip(*(part.unbind(1)[window:] for part in (noise[1], uniforms, noise[0])), strict=True)
        stream = Stream(model, (context.shape[2], context.shape[3]), len(clips))
        dream = stream.rollout((context, controls[:, :window], noise[0, :, :window]), controls[:, window:], draws)
        dreamed = [tokenizer.decode_frames(latent).cpu().numpy() for latent, *_ in dream]
    both = clips[:, window:], np.stack(dreamed, 1)
    save_png(path, grid([half[i, :: config.every] for i in range(len(clips)) for half in both]))


def grid(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of frames `(n, H, W, 3)` -> one picture."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
