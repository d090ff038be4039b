"""Makes a world's episodes last as long as the game's, and what happens by chance in it happen as often.

Ends are so rare that most steps see none. Adam divides each gradient by the size of the recent ones, so the rare large gradients
count for less than they should: chances come out several times too small, though in the right order. One number added to the
logit of the end makes up for it.

Codewords are trained on recorded contexts but drawn in dreamed ones. There a little less happens than in the frame before, and so
less still in the next: dreams calm down. One number per codeword, found by dreaming, makes each as frequent as it is in the game.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.device import autocast, compute_dtype
from worldsim.model.dit import DiT
from worldsim.model.heads import nearest_code
from worldsim.model.noise import add_noise
from worldsim.model.sampler import Stream
from worldsim.train.checks import check_fields
from worldsim.train.progress import Phase
from worldsim.train.store import LatentStore, Windows


@dataclass(frozen=True)
class CodeCalibration:
    """How codewords are made as frequent as they are in the game.

    Attributes:
        temperature: that becomes the new 1 of draws; somewhat above 1, since patches are drawn apart and what takes several of
            them comes out too seldom.
        rounds: of dreaming and correcting; 0 leaves the model alone.
        batches: of dreams in a round, at most.
        batch: dreams that run at once.
        frames: of a dream, at most; recorded episodes have to be longer by a window.
        rate: share of a difference that a round makes up for.
        smoothing: patches added to every count, so that codewords hardly seen are left alone.
        largest: shift of a logit.
        share: of the budget that all rounds may take; then dreams are fewer and shorter.
    """

    temperature: float = 1.5
    rounds: int = 3
    batches: int = 8
    batch: int = 32
    frames: int = 64
    rate: float = 0.7
    smoothing: float = 20.0
    largest: float = 3.0
    share: float = 0.06

    def __post_init__(self) -> None:
        counts = {"rounds": 0, "batches": 1, "batch": 1, "frames": 1}
        check_fields(self, counts, {"temperature": 1e-3, "smoothing": 1e-3, "largest": 0}, ("rate", "share"))


@dataclass(frozen=True)
class EndCalibration:
    """How the chance of an episode's end is made right.

    Attributes:
        windows: that end and are looked at, at most.
        others: windows of any kind looked at for each of those; what matters in them is rare. No more than there are frames.
        batch: windows that end in one pass of the network, and `others` times as many of any kind.
        bound: largest shift of the logit.
        halvings: of the interval from `-bound` to `bound` in which the shift is sought.
        share: of the budget that it may take; then windows are fewer.
    """

    windows: int = 1024
    others: int = 8
    batch: int = 2
    bound: float = 20.0
    halvings: int = 60
    share: float = 0.02

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("windows", "others", "batch", "halvings"), 1), {"bound": 0}, ("share",))


@torch.no_grad()
def calibrate_codes(
    model: DiT,
    store: LatentStore,
    calibration: CodeCalibration,
    play: Mapping[str, Any],
    seed: int = 0,
    seconds: float = math.inf,
) -> list[float]:
    """Shifts the code head until dreams under recorded controls hold as much of every codeword as the frames recorded there.

    Args:
        model: trained; one without codewords is left as it is. The weights and the bias of its code head are changed.
        store: the frames it was trained on.
        calibration: how long to dream.
        play: options of `Stream` that the world is played with.
        seed: of windows and noise.
        seconds: that it may take; one round with one frame of dreams is the least.

    Returns:
        How far dreams were from the game at the start of each round, as KL(game || dreams) over codewords, in nats.
    """
    head = model.code_head
    apart: list[float] = []
    if head is None or not calibration.rounds:
        return apart
    head.weight.div_(calibration.temperature)
    head.bias.div_(calibration.temperature)
    base = head.bias.clone()
    dreams = Dreams(store, calibration, play, model.config.window)
    with Phase("calibrating codewords", calibration.rounds * calibration.batches * dreams.length, "frame", seconds) as phase:
        for i in range(calibration.rounds):
            if i and phase.over():
                break
            dreamer = copy.deepcopy(model).to(compute_dtype(model.codebook.device))
            real, dreamed = dreams.frequencies(dreamer, seed + i, phase, (i + 1) / calibration.rounds)
            ratio = (real / dreamed).log()
            apart.append(float((real * ratio).sum()))
            shift = (head.bias - base + calibration.rate * ratio.to(head.bias)).clamp(-calibration.largest, calibration.largest)
            head.bias.copy_(base + shift)
    return apart


@dataclass(frozen=True)
class Dreams:
    """Dreams that start as recorded stretches do, under the controls recorded there.

    Attributes:
        store: the recordings.
        calibration: how many, and how long.
        play: options of `Stream`.
        window: frames of context.
    """

    store: LatentStore
    calibration: CodeCalibration
    play: Mapping[str, Any]
    window: int

    @property
    def length(self) -> int:
        """Frames of a dream."""
        return min(self.calibration.frames, int(self.store.lengths.max()) - self.window)

    def frequencies(self, model: DiT, seed: int, phase: Phase, share: float) -> tuple[Tensor, Tensor]:
        """How often each codeword is the nearest one, in recorded frames and in dreamed ones: both `(codes,)`, float32.

        Stops when `share` of the phase's time has passed, but not before one frame is dreamed.
        """
        rng, generator = np.random.default_rng(seed), torch.Generator("cpu").manual_seed(seed)
        device = model.codebook.device
        real, dreamed = torch.full((2, model.config.codes), self.calibration.smoothing, dtype=torch.float32, device=device)
        for i in range(self.calibration.batches):
            if i and phase.over(share):
                break
            for recorded, imagined in self._frames(model, rng, generator):
                for counts, seen in ((real, recorded), (dreamed, imagined)):
                    counts += nearest_code(seen, model.codebook).flatten().bincount(minlength=len(counts))
                phase.advance()
                if phase.over(share):
                    break
        return real / real.sum(), dreamed / dreamed.sum()

    def _frames(self, model: DiT, rng: np.random.Generator, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents `(batch, h, w, C)` of each frame as recorded and as dreamed, one after the other."""
        device, window, batch = model.codebook.device, self.window, self.calibration.batch
        windows = self.store.batch(batch, window + self.length, rng)
        latents, controls = windows.latents.float().to(device), windows.controls.to(device)
        noise = torch.randn(2, *latents.shape, generator=generator, dtype=torch.float32, device="cpu").to(device)
        uniforms = torch.rand(latents.shape[:-1], generator=generator, dtype=torch.float32, device="cpu").to(device)
        stream = Stream(model, (latents.shape[2], latents.shape[3]), batch, **self.play)
        draws = zip(*(part.unbind(1)[window:] for part in (noise[1], uniforms, noise[0])), strict=True)
        context = (latents[:, :window], controls[:, :window], noise[0, :, :window])
        for t, (imagined, *_) in enumerate(stream.rollout(context, controls[:, window:], draws), window):
            yield latents[:, t], imagined


@torch.no_grad()
def calibrate_ends(
    model: DiT,
    store: LatentStore,
    context_level: float,
    config: EndCalibration | None = None,
    seed: int = 0,
    seconds: float = math.inf,
) -> float:
    """Shifts the end head so that over all frames of `store` as many ends are expected as there are (Platt scaling's offset).

    Args:
        model: trained; its end head's bias is changed.
        store: the frames it was trained on.
        context_level: noise level at which a world keeps past frames.
        config: how much to look at.
        seed: of windows and noise.
        seconds: that it may take.

    Returns:
        What was added to the bias; 0 where no episode ends.
    """
    config = config or EndCalibration()
    rng, generator, frames = np.random.default_rng(seed), torch.Generator("cpu").manual_seed(seed), model.config.window + 1
    if not store.ended.any():
        return 0.0
    passes = math.ceil(min(config.windows, math.ceil(len(store.latents) / config.others)) / config.batch)
    ending = store.ending(config.windows, frames, rng, last=True)
    true, other = [], []
    with Phase("calibrating ends", passes, "batch", seconds) as phase:
        for i in range(passes):
            if i and phase.over():
                break
            part = ending.rows(slice(i * config.batch, (i + 1) * config.batch))
            any_kind = store.batch(config.others * config.batch, frames, rng)
            logits = _logits(model, Windows.join(part, any_kind), context_level, generator)
            true.append(logits[: len(part.ends)])
            other.append(logits[len(part.ends) :])
            phase.advance()
    if not sum(map(len, true)):
        return 0.0
    shift = _shift(torch.cat(true), torch.cat(other), int(store.ended.sum()), int(store.lengths.sum()), config)
    model.end_head.bias.add_(shift)
    return shift


def _shift(true: Tensor, other: Tensor, ends: int, rest: int, config: EndCalibration) -> float:
    """What has to be added to logits, so that `ends` ends are expected of so many true ends and `rest` other frames."""
    low, high = -config.bound, config.bound
    for _ in range(config.halvings):
        shift = (low + high) / 2
        expected = ends * (true + shift).sigmoid().mean() + rest * (other + shift).sigmoid().mean()
        low, high = (shift, high) if expected < ends else (low, shift)
    return shift


def _logits(model: DiT, windows: Windows, context_level: float, generator: torch.Generator) -> Tensor:
    """The end head's logits `(B,)` of each window's last frame, read as in play: from pure noise after a finished context."""
    device = model.end_head.weight.device
    latents, controls = (part.float().to(device) for part in (windows.latents, windows.controls))
    levels = torch.full(controls.shape[:2], context_level, dtype=torch.float32, device=device)
    levels[:, -1] = 1
    noise = torch.randn(latents.shape, generator=generator, dtype=torch.float32, device="cpu").to(device)
    with autocast(device):
        ends = model(add_noise(latents, noise, levels), levels, torch.zeros_like(levels), controls).end
    return ends[:, -1].float().cpu()
