"""Makes a world's episodes last as long as the game's: one number is added to the logit of the end.

Ends are so rare that most steps see none, and Adam, which divides each gradient by the size of the recent ones, makes less of the
rare large gradients than they are worth: chances come out several times too small, though in the right order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldsim.dit import DiT
from worldsim.noise import add_noise
from worldsim.train.store import LatentStore, Windows

BATCH = 16


@torch.no_grad()
def calibrate_ends(model: DiT, store: LatentStore, context_level: float, windows: int = 1024, seed: int = 0) -> float:
    """Shifts the end head so that over all frames of `store` as many ends are expected as there are (Platt scaling's offset).

    Args:
        model: trained; its end head's bias is changed.
        store: the frames it was trained on.
        context_level: noise level at which a world keeps past frames.
        windows: that are looked at, of those that end and of any.
        seed: of windows and noise.

    Returns:
        What was added to the bias; 0 where no episode ends.
    """
    rng, generator, frames = np.random.default_rng(seed), torch.Generator().manual_seed(seed), model.config.window + 1
    true = _logits(model, store.ending(windows, frames, rng), context_level, generator)
    if not len(true):
        return 0.0
    going_on = store.batch(windows, frames, rng)
    other = _logits(model, going_on, context_level, generator)[~going_on.ends[:, -1]]
    ends, rest = int(store.ended.sum()), int(store.lengths.sum())
    low, high = -20.0, 20.0
    for _ in range(60):
        shift = (low + high) / 2
        expected = ends * (true + shift).sigmoid().mean() + rest * (other + shift).sigmoid().mean()
        low, high = (shift, high) if expected < ends else (low, shift)
    model.end_head.bias.add_(shift)
    return shift


def _logits(model: DiT, windows: Windows, context_level: float, generator: torch.Generator) -> Tensor:
    """The end head's logits `(B,)` of the last frame of each window, read as in play: from pure noise after a finished story."""
    device, said = model.end_head.weight.device, []
    for at in range(0, len(windows.rewards), BATCH):
        latents, controls = (part[at : at + BATCH].float().to(device) for part in (windows.latents, windows.controls))
        levels = torch.full(controls.shape[:2], context_level, device=device)
        levels[:, -1] = 1
        z = add_noise(latents, torch.randn(latents.shape, generator=generator).to(device), levels)
        with torch.autocast(device.type, torch.bfloat16):
            said.append(model(z, levels, torch.zeros_like(levels), controls).end[:, -1].float().cpu())
    return torch.cat(said) if said else torch.zeros(0)
