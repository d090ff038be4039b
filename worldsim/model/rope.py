"""Three-axis rotary positions (time, height, width) that are computed, never read from a table with an end.

Time frequencies are whole multiples of `2 pi / TIME_PERIOD`, so a frame index taken modulo `TIME_PERIOD`
gives exactly the same rotation: a rollout can run for ever without its angles losing precision. Rotary
embedding: Su et al. 2021, arXiv:2104.09864, section 3; axes split as in Dosovitskiy-style spatial
transformers with one share of the head each.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TIME_PERIOD = 4096


def time_frequencies(pairs: int) -> Tensor:
    """`pairs` angular speeds in rad/frame, from 1 down to one turn per `TIME_PERIOD` frames, each an exact
    harmonic of it.
    """
    highest = TIME_PERIOD / (2 * math.pi)
    turns = [max(1, round(highest ** (1 - i / max(1, pairs - 1)))) for i in range(pairs)]
    return torch.tensor(turns, dtype=torch.float32, device="cpu") * (2 * math.pi / TIME_PERIOD)


def space_frequencies(pairs: int) -> Tensor:
    """`pairs` angular speeds in rad/token, log-spaced from 1 to 1/100."""
    return 100.0 ** -(torch.arange(pairs, dtype=torch.float32, device="cpu") / max(1, pairs - 1))


def split_pairs(head_dim: int) -> tuple[int, int, int]:
    """How many of the head's `head_dim / 2` pairs turn with time, height and width."""
    pairs = head_dim // 2
    height = width = (pairs * 3) // 8
    return pairs - height - width, height, width


def frequencies(head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    time, height, width = split_pairs(head_dim)
    return time_frequencies(time), space_frequencies(height), space_frequencies(width)


def time_angles(frames_BT: Tensor, speeds: Tensor) -> Tensor:
    """Integer frame indices `(B, T)` of any size -> angles `(B, T, pairs)`, float32."""
    return (frames_BT % TIME_PERIOD).to(torch.float32)[..., None] * speeds


def space_angles(height: int, width: int, row_speeds: Tensor, column_speeds: Tensor, centred: bool = False) -> Tensor:
    """Latent grid -> angles `(h * w, row pairs + column pairs)`, float32, row-major; from the first latent or the centre."""
    rows = torch.arange(height, dtype=torch.float32, device=row_speeds.device) - centred * (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32, device=row_speeds.device) - centred * (width - 1) / 2
    rows, columns = rows[:, None] * row_speeds, columns[:, None] * column_speeds
    return torch.cat([rows.repeat_interleave(width, 0), columns.repeat(height, 1)], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates the pairs `(x[i], x[i + D/2])` of the last axis; `cos`, `sin` broadcast over `(..., D/2)`."""
    one, other = x.chunk(2, dim=-1)
    return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1)
