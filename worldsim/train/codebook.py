"""The codewords that frames are drawn from: k-means of latents (Lloyd 1982, "Least squares quantization in PCM")."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import trange

from worldsim.model.heads import nearest_code

SAMPLES, ROUNDS = 131_072, 20


def fit_codebook(latents: NDArray[np.float16], codes: int, seed: int) -> Tensor:
    """Codewords `(codes, C)`, float32, of the patches of latents `(n, h, w, C)`."""
    rng = np.random.default_rng(seed)
    count = max(SAMPLES, 8 * codes)
    frames = np.sort(rng.integers(0, len(latents), count))  # in order, since latents are on disk
    rows, columns = (rng.integers(0, size, count) for size in latents.shape[1:3])
    x = torch.from_numpy(latents[frames, rows, columns]).float()
    book = x[torch.from_numpy(rng.choice(count, codes, replace=False))]
    for _ in trange(ROUNDS, desc="codewords", leave=False):
        nearest = torch.cat([nearest_code(part, book) for part in x.split(8192)])
        members = torch.bincount(nearest, minlength=codes)[:, None]
        sums = torch.zeros_like(book).index_add_(0, nearest, x)
        strays = x[torch.from_numpy(rng.choice(count, codes))]  # where no patch is near, begin elsewhere
        book = torch.where(members > 0, sums / members.clamp_min(1), strays)
    return book
