"""Pictures of how training goes, written next to the checkpoints: look at them, a loss curve is not a world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.data import Dataset
from worldsim.data.images import save_png
from worldsim.model.dit import DiT
from worldsim.model.sampler import Stream
from worldsim.model.tokenizer import Tokenizer, to_images


@torch.inference_mode()
def tokenizer(model: Tokenizer, held_out: Dataset, path: Path, device: torch.device, count: int = 8) -> None:
    """Held-out frames above, their reconstructions below."""
    chosen = np.random.default_rng(0).integers(0, len(held_out), count)
    frames = np.stack([held_out.frames(int(e), n := int(held_out.lengths[e]) // 2, n + 1)[0] for e in chosen])
    with torch.autocast(device.type, torch.bfloat16):
        decoded = model.decode_frames(model.encode(to_images(torch.from_numpy(frames).to(device), torch.bfloat16)))
    save_png(path, grid([frames, decoded.cpu().numpy()]))


@torch.inference_mode()
def dynamics(
    model: DiT, tokenizer: Tokenizer, held_out: Dataset, path: Path, device: torch.device, rows: int = 3, frames: int = 33
) -> None:
    """Per held-out episode, real frames above and the dream under the same controls below, every fourth frame."""
    window = model.config.window
    long = np.flatnonzero(held_out.lengths > window + frames)[:rows]
    if not len(long):
        return
    held = held_out.clips(long, np.zeros_like(long), window + frames)
    clips, controls = held.frames, torch.from_numpy(held.controls / held_out.spec.scale()).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        context = torch.stack(
            [tokenizer.encode(to_images(torch.from_numpy(clip[:window]).to(device), torch.bfloat16)) for clip in clips]
        )
        generator = torch.Generator(device).manual_seed(0)
        stream = Stream(model, (context.shape[2], context.shape[3]), len(clips))
        given = (context, controls[:, :window], torch.randn(context.shape, generator=generator, device=device))

        def draw() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
            while True:
                noise = torch.randn(2, *context[:, 0].shape, generator=generator, device=device)
                yield noise[0], torch.rand(noise.shape[1:-1], generator=generator, device=device), noise[1]

        dream = stream.rollout(given, controls[:, window:], draw())
        dreamed = [tokenizer.decode_frames(latent).cpu().numpy() for latent, *_ in dream]
    both = clips[:, window:], np.stack(dreamed, 1)
    save_png(path, grid([half[i, ::4] for i in range(len(clips)) for half in both]))


def grid(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of frames `(n, H, W, 3)` -> one picture."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
