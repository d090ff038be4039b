"""What a run is going to do, how long it will take, and whether the disk has room for it; known before it begins."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from worldsim.device import autocast, compute_dtype
from worldsim.errors import TrainingError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.tables import text_table
from worldsim.train import distributed, saving
from worldsim.train.cache import is_current
from worldsim.train.config import Run
from worldsim.train.start import Start
from worldsim.train.store import FrameStore

STATES = 4  # tensors of a checkpoint per weight: itself, its average, and what the optimizers keep
TRIAL = 32  # frames that are decoded and encoded to see how long it takes


@dataclass(frozen=True)
class Phase:
    """One line of the plan.

    Attributes:
        name: what is done.
        amount: how much of it.
        seconds: how long it takes, about, or at most.
    """

    name: str
    amount: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a run is going to do.

    Attributes:
        budget: seconds of training.
        phases: in order.
        bytes: that its files will take, besides those that are there.
    """

    budget: float
    phases: tuple[Phase, ...]
    bytes: int

    @property
    def seconds(self) -> float:
        """Of all phases."""
        return sum(phase.seconds for phase in self.phases)

    def __str__(self) -> str:
        rows = [(phase.name, phase.amount, duration(phase.seconds)) for phase in self.phases]
        rows.append(("in all, without compiling", f"{self.bytes / 1e6:,.0f} MB", f"about {duration(self.seconds)}"))
        return text_table(("phase", "amount", "time"), rows)

    def check_room(self, folder: Path) -> None:
        """Raises:
        TrainingError: if the disk has no room for the files.
        """
        place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(place).free
        if self.bytes > free:
            raise TrainingError(
                f"{folder} will take {self.bytes / 1e6:,.0f} MB more, and its disk has {free / 1e6:,.0f} MB free; "
                "free some space, or give another run folder."
            )


def make_plan(run: Run, budget: float, start: Start | None) -> Plan:
    """Works out what is left to do, timing the decoder and the tokenizer on a few frames.

    Args:
        run: what to train, on which recordings, where.
        budget: seconds of training in all.
        start: world to go on from, or None.

    Raises:
        TrainingError: if a checkpoint of an earlier run is damaged.
    """
    config, dataset = run.config, run.dataset
    tokenizer = Tokenizer(config.tokenizer.model) if start is None else start.tokenizer
    model = run.dynamics_sizes(tokenizer.config.latent_channels)
    dynamics = DiT(model, torch.device("meta"))  # sizes without numbers
    height, width, _ = dataset.frame_shape
    latent = 2 * math.prod(tokenizer.config.grid(height, width)) * tokenizer.config.latent_channels
    processes = distributed.count()  # which decode and encode together
    decode, encode = _decoding_time(run) / config.cache.threads / processes, _encoding_time(run, tokenizer) / processes

    phases, size, first = [], checkpoint_bytes(dynamics), 0.0
    if start is None:
        count = config.cache.frames(dataset)
        kept = count * math.prod(dataset.frame_shape)
        if not is_current(run.cache("frames.bin"), FrameStore.key_of(dataset, count), kept):
            phases.append(Phase("decode frames", f"{count:,} frames", count * decode))
            size += kept
        first = budget * config.tokenizer_share
        phases.append(Phase("train the tokenizer", "", _left(run, "tokenizer", first)))
        size += checkpoint_bytes(tokenizer)
    frames, rest = dataset.total_frames * (1 + config.mirrored), budget - first
    unchanged = start is not None or not _left(run, "tokenizer", first)
    if not (unchanged and _size(run.cache("latents.bin")) == latent * frames):
        phases.append(Phase("encode latents", f"{frames:,} frames", max(dataset.total_frames * decode, frames * encode)))
    if model.codes and (start is None or not start.dynamics.config.codes) and not _size(run.cache("codebook.pt")):
        phases.append(Phase("fit codewords", f"{model.codes:,} codewords", config.dynamics.codebook.share * rest))
    phases.append(Phase("train the dynamics", "", _left(run, "dynamics", rest)))
    share = config.dynamics.ends.share + config.dynamics.calibration.share * bool(model.codes)
    phases.append(Phase("calibrate", "at most", share * rest))
    held_out = run.held_out.total_frames
    phases.append(Phase("encode start contexts", f"{held_out:,} frames", held_out * max(decode, encode)))
    size += latent * (frames + held_out)
    return Plan(budget, tuple(phases), max(0, size - _present(run)))


def checkpoint_bytes(model: nn.Module) -> int:
    """About what a model's checkpoint takes while a new one is written beside the old one."""
    return 2 * STATES * sum(4 * parameter.numel() for parameter in model.parameters())


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "1 h 30 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _left(run: Run, stage: str, budget: float) -> float:
    """Seconds that a stage has still to be trained."""
    return max(0.0, budget - saving.elapsed(run.folder / f"{stage}.ckpt"))


def _size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _present(run: Run) -> int:
    """Bytes of the files that a run makes anew or keeps."""
    checkpoints = sum(saving.size(run.folder / f"{stage}.ckpt") for stage in ("tokenizer", "dynamics"))
    return checkpoints + sum(map(_size, [run.cache("latents.bin"), run.cache("eval-latents.bin")]))


def _decoding_time(run: Run) -> float:
    """Seconds to decode a frame."""
    count = min(TRIAL, int(run.dataset.lengths[0]))
    return _timed(lambda: run.dataset.frames(0, 0, count)) / count


@torch.inference_mode()
def _encoding_time(run: Run, tokenizer: Tokenizer) -> float:
    """Seconds to encode a frame."""
    height, width, _ = run.dataset.frame_shape
    frames = torch.zeros(TRIAL, height, width, 3, dtype=torch.uint8, device=run.device)
    images = to_images(frames, compute_dtype(run.device))
    moved = tokenizer.to(run.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    with autocast(run.device):
        return _timed(lambda: moved.encode(images).sum().item()) / TRIAL


def _timed(work: Callable[[], object]) -> float:
    """Seconds of the second of two calls."""
    work()
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
