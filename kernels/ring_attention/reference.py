"""Streaming attention in plain PyTorch: the definition of the op, and what runs on a CPU.

Slots are written in order, so the frames of a row are a prefix of its ring. It is sliced, not masked; the
rest is never read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def ring_attention(q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
    """See `worldsim.kernels.ring_attention.ring_attention`.

    Reads positions on the host, so it synchronises with a GPU.
    """
    return by_fill(_attend, q, keys, values, position)


def by_fill(attend: Callable[..., Tensor], q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
    """Calls `attend(q, keys, values)` with the written slots only.

    Once if all rows have equally many, otherwise row by row.
    """
    fills = [min(newest + 1, keys.shape[1]) for newest in position.tolist()]
    if len(set(fills)) == 1:
        return _attend_filled(attend, q, keys, values, fills[0])
    rows = (slice(b, b + 1) for b in range(len(fills)))
    return torch.cat(
        [_attend_filled(attend, q[row], keys[row], values[row], fill) for row, fill in zip(rows, fills, strict=True)]
    )


def _attend_filled(attend: Callable[..., Tensor], q: Tensor, keys: Tensor, values: Tensor, fill: int) -> Tensor:
    return attend(q, keys[:, :fill], values[:, :fill]) if fill > 0 else torch.zeros_like(q)


def _attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    q, k, v = (a.transpose(1, 2) for a in (q, keys.flatten(1, 2), values.flatten(1, 2)))
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1]).transpose(1, 2).contiguous()
