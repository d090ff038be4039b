"""Makes a world's episodes last as long as the game's, and what happens by chance in it happen as often.

Ends are so rare that most steps see none, and Adam, which divides each gradient by the size of the recent ones, makes less of the
rare large gradients than they are worth: chances come out several times too small, though in the right order. One number added to
the logit of the end makes up for it.

Codewords are trained on recorded contexts and drawn in dreamed ones, where a little less happens than did in the last frame,
and so less still in the next: dreams calm down. One number per codeword, found by dreaming, makes each as frequent as it is in
the game.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldsim.model.dit import DiT
from worldsim.model.heads import nearest_code
from worldsim.model.noise import add_noise
from worldsim.model.sampler import Stream
from worldsim.train.store import LatentStore, Windows

BATCH = 16
SMOOTHING = 20  # patches added to every count, so that codewords hardly seen are left alone
LARGEST = 3.0  # shift of a logit


@dataclass(frozen=True)
class CodeCalibration:
    """How codewords are made as frequent as they are in the game.

    Attributes:
        temperature: that becomes the new 1 of draws; somewhat above 1, since patches are drawn apart and what takes several of
            them comes out too seldom.
        rounds: of dreaming and correcting; 0 leaves the model alone.
        batches: of dreams in a round.
        batch: dreams that run at once.
        frames: of a dream, at most; recorded episodes have to be longer by a window.
        rate: share of a difference that a round makes up for.
    """

    temperature: float = 1.5
    rounds: int = 3
    batches: int = 8
    batch: int = 32
    frames: int = 64
    rate: float = 0.7


@torch.no_grad()
def calibrate_codes(
    model: DiT, store: LatentStore, calibration: CodeCalibration, play: Mapping[str, Any], seed: int = 0
) -> list[float]:
    """Shifts the code head until dreams under recorded controls hold as much of every codeword as the frames recorded there.

    Args:
        model: trained; one without codewords is left as it is. The weights and the bias of its code head are changed.
        store: the frames it was trained on.
        calibration: how long to dream.
        play: options of `Stream` that the world is played with.
        seed: of windows and noise.

    Returns:
        How far dreams were from the game at the start of each round, as KL(game || dreams) over codewords, in nats.
    """
    head = model.code_head
    said: list[float] = []
    if head is None or not calibration.rounds:
        return said
    head.weight.div_(calibration.temperature)
    head.bias.div_(calibration.temperature)
    base = head.bias.clone()
    for i in tqdm(range(calibration.rounds), desc="calibrating codewords", unit="round"):
        dreamer = copy.deepcopy(model).to(torch.bfloat16)
        real, dreamt = _frequencies(dreamer, store, calibration, play, seed + i)
        ratio = (real / dreamt).log()
        said.append(float((real * ratio).sum()))
        shift = (head.bias - base + calibration.rate * ratio.to(head.bias)).clamp(-LARGEST, LARGEST)
        head.bias.copy_(base + shift)
    return said


def _frequencies(
    model: DiT, store: LatentStore, calibration: CodeCalibration, play: Mapping[str, Any], seed: int
) -> tuple[Tensor, Tensor]:
    """How often each codeword is the nearest one in recorded stretches, and in dreams that start as those do: both `(codes,)`."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    device, window, batch = model.codebook.device, model.config.window, calibration.batch
    frames = window + min(calibration.frames, int(store.lengths.max()) - window)
    real, dreamt = torch.full((2, model.config.codes), float(SMOOTHING), device=device)
    for _ in range(calibration.batches):
        windows = store.batch(batch, frames, rng)
        latents, controls = windows.latents.float().to(device), windows.controls.to(device)
        noise = torch.randn(2, *latents.shape, generator=generator).to(device)
        uniforms = torch.rand(latents.shape[:-1], generator=generator).to(device)
        stream = Stream(model, (latents.shape[2], latents.shape[3]), batch, **play)
        draws = zip(*(part.unbind(1)[window:] for part in (noise[1], uniforms, noise[0])), strict=True)
        context = (latents[:, :window], controls[:, :window], noise[0, :, :window])
        for t, (imagined, *_) in enumerate(stream.rollout(context, controls[:, window:], draws), window):
            for counts, seen in ((real, latents[:, t]), (dreamt, imagined)):
                counts += nearest_code(seen, model.codebook).flatten().bincount(minlength=len(counts))
    return real / real.sum(), dreamt / dreamt.sum()


@torch.no_grad()
def calibrate_ends(model: DiT, store: LatentStore, context_level: float, windows: int = 1024, seed: int = 0) -> float:
    """Shifts the end head so that over all frames of `store` as many ends are expected as there are (Platt scaling's offset).

    Args:
        model: trained; its end head's bias is changed.
        store: the frames it was trained on.
        context_level: noise level at which a world keeps past frames.
        windows: that end and are looked at, at most, and eight times as many of any: what matters in those is rare.
        seed: of windows and noise.

    Returns:
        What was added to the bias; 0 where no episode ends.
    """
    rng, generator, frames = np.random.default_rng(seed), torch.Generator().manual_seed(seed), model.config.window + 1
    true = _logits(model, store.ending(windows, frames, rng, last=True), context_level, generator)
    if not len(true):
        return 0.0
    other = _logits(model, store.batch(8 * windows, frames, rng), context_level, generator)
    ends, rest = int(store.ended.sum()), int(store.lengths.sum())
    low, high = -20.0, 20.0
    for _ in range(60):
        shift = (low + high) / 2
        expected = ends * (true + shift).sigmoid().mean() + rest * (other + shift).sigmoid().mean()
        low, high = (shift, high) if expected < ends else (low, shift)
    model.end_head.bias.add_(shift)
    return shift


def _logits(model: DiT, windows: Windows, context_level: float, generator: torch.Generator) -> Tensor:
    """The end head's logits `(B,)` of the last frame of each window, read as in play: from pure noise, after a context."""
    device, said = model.end_head.weight.device, []
    for at in range(0, len(windows.rewards), BATCH):
        latents, controls = (part[at : at + BATCH].float().to(device) for part in (windows.latents, windows.controls))
        levels = torch.full(controls.shape[:2], context_level, device=device)
        levels[:, -1] = 1
        z = add_noise(latents, torch.randn(latents.shape, generator=generator).to(device), levels)
        with torch.autocast(device.type, torch.bfloat16):
            said.append(model(z, levels, torch.zeros_like(levels), controls).end[:, -1].float().cpu())
    return torch.cat(said) if said else torch.zeros(0)
