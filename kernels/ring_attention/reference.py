"""Streaming attention in plain torch: the definition, and the CPU path.

Slots fill in order, so what a row may see is a prefix of its ring: it is sliced, never masked, and what lies beyond is not read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def ring_attention(q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
    """See `worldsim.kernels.ring_attention.ring_attention`. Looks at positions, hence waits for a device other than the CPU."""
    return by_fill(_attend, q, keys, values, position)


def by_fill(attend: Callable[..., Tensor], q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
    """Calls `attend(q, keys, values)` on the written slots only: once if all rows have as many, else row by row."""
    fills = [min(age + 1, keys.shape[1]) for age in position.tolist()]
    if len(set(fills)) == 1:
        return _seen(attend, q, keys, values, fills[0])
    rows = (slice(b, b + 1) for b in range(len(fills)))
    return torch.cat([_seen(attend, q[row], keys[row], values[row], fill) for row, fill in zip(rows, fills, strict=True)])


def _seen(attend: Callable[..., Tensor], q: Tensor, keys: Tensor, values: Tensor, fill: int) -> Tensor:
    return attend(q, keys[:, :fill], values[:, :fill]) if fill > 0 else torch.zeros_like(q)


def _attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    q, k, v = (a.transpose(1, 2) for a in (q, keys.flatten(1, 2), values.flatten(1, 2)))
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1]).transpose(1, 2).contiguous()
