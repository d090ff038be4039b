"""Norm, rotation and ring write in plain PyTorch: the definition of the op, and what runs on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.kernels.norm_modulate.reference import inverse_rms

INT8_LIMIT = 127.0  # largest magnitude that is stored
SMALLEST = 1e-12  # vectors of smaller magnitude are stored as zeros, so that no scale is 0


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """`(..., D)` -> int8 values and their float32 scales `(...)`; values times scale are close to `x`."""
    scale = x.float().abs().amax(-1).clamp(min=SMALLEST) / INT8_LIMIT
    return torch.floor(x.float() / scale[..., None] + 0.5).to(torch.int8), scale


def qkv_write(
    qkv: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    eps: float,
    key_scale: Tensor | None,
    value_scale: Tensor | None,
) -> Tensor:
    """See `worldsim.kernels.qkv_write.qkv_write`."""
    size, groups = keys.shape[-1], keys.shape[-2]
    heads = qkv.shape[-1] // size - 2 * groups
    qk, value = qkv.unflatten(-1, (-1, size)).split((heads + groups, groups), dim=2)
    weight = torch.cat([query_weight.expand(heads, -1), key_weight.expand(groups, -1)]).to(qk.dtype)
    first, second = (qk * inverse_rms(qk, eps) * weight).chunk(2, dim=-1)
    cos, sin = cos[:, :, None].to(qk.dtype), sin[:, :, None].to(qk.dtype)
    rotated = torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(second * cos, first, sin)
    q, key = torch.cat(rotated, dim=-1).split((heads, groups), dim=2)
    at = (torch.arange(len(keys), dtype=torch.int64, device=keys.device), position % keys.shape[1])
    for ring, frame, scales in ((keys, key, key_scale), (values, value, value_scale)):
        if scales is None:
            ring[at] = frame.to(ring.dtype)
        else:
            ring[at], scales[at] = quantize(frame)
    return q.contiguous()
