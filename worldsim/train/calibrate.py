"""Calibrates two heads after training: how often an episode ends, and how often each codeword is drawn.

Ends are rare, so most training batches hold none. Adam divides each gradient by the size of recent ones, which weakens the
few large gradients that ends cause. Predicted probabilities of an end then rank frames correctly but are several times too
small. Adding one constant to the logit of the end head corrects their mean.

The code head is trained on recorded contexts but used on generated ones. A generated frame holds slightly fewer changes than
a recorded one, and as context it leads to fewer still, so a dream becomes ever more static. Adding one constant to the logit
of each codeword, estimated from dreams, makes every codeword as frequent in dreams as in the game.
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
    """How the frequencies of codewords are matched to those in the game.

    Attributes:
        temperature: by which the logits of the code head are divided for good. Slightly above 1: each patch draws its codeword
            independently, so changes that span several patches are otherwise too rare.
        rounds: number of times that dreams are generated and the logits corrected; 0 turns calibration off.
        batches: batches of dreams per round, at most.
        batch: dreams per batch.
        frames: frames per dream, at most. At least one recorded episode must be longer than the context window.
        rate: fraction of the measured difference in log frequency that one round corrects.
        smoothing: added to the count of every codeword, so that rarely seen codewords are hardly changed.
        largest: bound on the absolute shift of a logit.
        share: fraction of the training budget that all rounds together may take; a short budget means fewer, shorter dreams.
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
    """How the predicted probability of an episode's end is corrected.

    Attributes:
        windows: number of windows that finish with an end of an episode, at most.
        others: number of random windows per window with an end. More are needed because high predictions are rare among them.
            In total at most as many as there are frames.
        batch: windows with an end in one forward pass, together with `others` times as many random ones.
        bound: the shift of the logit is searched for between `-bound` and `bound`.
        halvings: steps of that bisection.
        share: fraction of the training budget that it may take; a short budget means fewer windows.
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
    """Shifts the logits of the code head so that codewords are as frequent in dreams as in recordings with the same controls.

    Args:
        model: trained; the weights and the bias of its code head are changed in place. Without codewords it is unchanged.
        store: the frames it was trained on.
        calibration: number and length of the dreams.
        play: options of `Stream` with which the world is played.
        seed: of windows and noise.
        seconds: time limit; at least one round with one frame per dream is done.

    Returns:
        For each round, KL(game || dreams) of the codeword frequencies before its correction, in nats.
    """
    head = model.code_head
    divergences: list[float] = []
    if head is None or not calibration.rounds:
        return divergences
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
            divergences.append(float((real * ratio).sum()))
            shift = (head.bias - base + calibration.rate * ratio.to(head.bias)).clamp(-calibration.largest, calibration.largest)
            head.bias.copy_(base + shift)
    return divergences


@dataclass(frozen=True)
class Dreams:
    """Rollouts from recorded contexts, under the controls that were recorded after them.

    Attributes:
        store: the recordings.
        calibration: number and length of the rollouts.
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
        """Frequencies of the codewords nearest to the patches of recorded and of generated frames: both `(codes,)`, float32.

        Stops when `share` of the phase's time has passed, but not before the first frame.
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
        """Yields, frame by frame, the recorded and the generated latents, both `(batch, h, w, C)`."""
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
    """Shifts the bias of the end head so that the expected number of ends over `store` equals the recorded number.

    This is the offset of Platt scaling (Platt 1999), without its slope.

    Args:
        model: trained; the bias of its end head is changed in place.
        store: the frames it was trained on.
        context_level: noise level at which a world keeps past frames.
        config: number of windows to evaluate.
        seed: of windows and noise.
        seconds: time limit; at least one batch is done.

    Returns:
        What was added to the bias; 0 if no episode ends.
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
    """The shift of all logits at which the probabilities of `ends` ending frames and `rest` random ones sum to `ends`.

    Args:
        true: logits of a sample of the frames with an end.
        other: logits of a sample of all frames.
        ends: number of frames with an end.
        rest: number of all frames.
        config: interval and steps of the bisection.
    """
    low, high = -config.bound, config.bound
    for _ in range(config.halvings):
        shift = (low + high) / 2
        expected = ends * (true + shift).sigmoid().mean() + rest * (other + shift).sigmoid().mean()
        low, high = (shift, high) if expected < ends else (low, shift)
    return shift


def _logits(model: DiT, windows: Windows, context_level: float, generator: torch.Generator) -> Tensor:
    """The end head's logits `(B,)` for the last frame of each window, given as pure noise, as in the first call for a frame."""
    device = model.end_head.weight.device
    latents, controls = (part.float().to(device) for part in (windows.latents, windows.controls))
    levels = torch.full(controls.shape[:2], context_level, dtype=torch.float32, device=device)
    levels[:, -1] = 1
    noise = torch.randn(latents.shape, generator=generator, dtype=torch.float32, device="cpu").to(device)
    with autocast(device):
        ends = model(add_noise(latents, noise, levels), levels, torch.zeros_like(levels), controls).end
    return ends[:, -1].float().cpu()
