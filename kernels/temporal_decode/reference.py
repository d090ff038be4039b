"""Attention along time in plain PyTorch: the definition of the op, and what runs on a CPU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from worldsim.kernels.ring_attention.reference import by_fill


def temporal_decode(
    q: Tensor, keys: Tensor, values: Tensor, position: Tensor, key_scale: Tensor | None, value_scale: Tensor | None
) -> Tensor:
    """See `worldsim.kernels.temporal_decode.temporal_decode`.

    Reads positions on the host, so it synchronises with a GPU.
    """
    if key_scale is None or value_scale is None:
        return by_fill(_attend, q, keys.to(q.dtype), values.to(q.dtype), position)
    keys, values = keys.float() * key_scale[..., None], values.float() * value_scale[..., None]
    return by_fill(_attend, q.float(), keys, values, position).to(q.dtype)


def _attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Treats each pair of token and key head as a head, whose queries are the heads of `q` that share it."""
    k, v = (a.flatten(2, 3).transpose(1, 2) for a in (keys, values))
    grouped = q.view(q.shape[0], k.shape[1], -1, q.shape[-1])
    return F.scaled_dot_product_attention(grouped, k, v).reshape(q.shape)
