"""The codewords that frames are drawn from: k-means of latents (Lloyd 1982, "Least squares quantization in PCM")."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.errors import TrainingError
from worldsim.model.heads import nearest_code
from worldsim.train import checkpoint
from worldsim.train.checks import check_fields
from worldsim.train.progress import Phase
from worldsim.train.store import LatentStore


@dataclass(frozen=True)
class CodebookConfig:
    """How codewords are fitted.

    Attributes:
        samples: patches that they are fitted to, at most.
        first: samples per codeword in the first round; every further round takes twice as many.
        rounds: of k-means.
        chunk: samples compared with all codewords at a time.
        share: of the budget that the fit may take; it stops between rounds, but not before the first is done.
    """

    samples: int = 131_072
    first: int = 8
    rounds: int = 20
    chunk: int = 8192
    share: float = 0.02

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("samples", "first", "rounds", "chunk"), 1), shares=("share",))


def fit_codebook(
    latents: NDArray[np.float16], codes: int, seed: int, config: CodebookConfig | None = None, seconds: float = math.inf
) -> Tensor:
    """Codewords `(codes, C)`, float32 on the CPU, of the patches of latents `(n, h, w, C)`, within `seconds`."""
    config = config or CodebookConfig()
    rng = np.random.default_rng(seed)
    count = max(codes, min(config.samples, math.prod(latents.shape[:3])))
    frames = np.sort(rng.integers(0, len(latents), count))  # in order, since latents are on disk
    rows, columns = (rng.integers(0, size, count) for size in latents.shape[1:3])
    x = torch.from_numpy(latents[frames, rows, columns][rng.permutation(count)]).float()
    book = x[:codes].clone()
    with Phase("fitting codewords", config.rounds, "round", seconds) as phase:
        for i in range(config.rounds):
            if i and phase.over():
                break
            book = _improve(x[: config.first * codes * 2**i], book, rng, config.chunk)
            phase.advance()
    return book


def _improve(x: Tensor, book: Tensor, rng: np.random.Generator, chunk: int) -> Tensor:
    """One round: every codeword moves to the mean of the samples `(n, C)` nearest to it, or to one of them if there are none."""
    nearest = torch.cat([nearest_code(part, book) for part in x.split(chunk)])
    members = torch.bincount(nearest, minlength=len(book))[:, None]
    sums = torch.zeros_like(book).index_add_(0, nearest, x)
    strays = x[torch.from_numpy(rng.choice(len(x), len(book)))]
    return torch.where(members > 0, sums / members.clamp_min(1), strays)


def cached_codebook(path: Path, store: LatentStore, codes: int, seed: int, config: CodebookConfig, seconds: float) -> Tensor:
    """The codewords at `path`, which are fitted first if the file is missing, damaged, or of other latents or numbers."""
    key = f"{store.key}-{codes}-{seed}-{config}"
    try:
        kept = checkpoint.load(path)
        if kept is not None and kept["key"] == key and kept["codebook"].shape == (codes, store.latents.shape[-1]):
            return kept["codebook"]
    except (TrainingError, KeyError, TypeError, AttributeError):
        pass  # it costs seconds to fit them again
    book = fit_codebook(store.latents, codes, seed, config, seconds)
    checkpoint.save(path, {"key": key, "codebook": book})
    return book
