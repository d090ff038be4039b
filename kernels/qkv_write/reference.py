"""Norm, rotation and ring write in plain torch: the definition, and the CPU path."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.kernels.norm_modulate.reference import inverse_rms

LIMITS = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}  # largest magnitude of each quantised dtype
SMALLEST = 1e-12  # magnitude below which a vector counts as zero when its scale is chosen


def slot_of(position: Tensor, slots: int, sinks: int) -> Tensor:
    """Where frame `position` lives: the first `sinks` frames stay, later ones take turns in the other slots."""
    turn = position % slots if sinks == 0 else sinks + (position - sinks) % (slots - sinks)
    return turn if sinks == 0 else torch.where(position < sinks, position, turn)


def quantize(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """`(..., D)` -> numbers of `dtype` and float32 scales `(...)` that bring the largest of each `D` to the largest there is."""
    scale = x.float().abs().amax(-1).clamp(min=SMALLEST) / LIMITS[dtype]
    scaled = x.float() / scale[..., None]
    return (torch.floor(scaled + 0.5) if dtype == torch.int8 else scaled).to(dtype), scale


def qkv_write(
    qkv: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    sinks: int,
    eps: float,
    key_scale: Tensor | None,
    value_scale: Tensor | None,
) -> Tensor:
    """See `worldsim.kernels.qkv_write.qkv_write`."""
    size, groups = keys.shape[-1], keys.shape[-2]
    heads = qkv.shape[-1] // size - 2 * groups
    qk, value = qkv.unflatten(-1, (-1, size)).split((heads + groups, groups), dim=2)
    weight = torch.cat([query_weight.expand(heads, -1), key_weight.expand(groups, -1)]).to(qk.dtype)
    one, other = (qk * inverse_rms(qk, eps) * weight).chunk(2, dim=-1)
    cos, sin = cos[:, :, None].to(qk.dtype), sin[:, :, None].to(qk.dtype)
    rotated = torch.addcmul(one * cos, other, sin, value=-1), torch.addcmul(other * cos, one, sin)
    q, key = torch.cat(rotated, dim=-1).split((heads, groups), dim=2)
    at = (torch.arange(len(keys), device=keys.device), slot_of(position, keys.shape[1], sinks))
    for ring, frame, scales in ((keys, key, key_scale), (values, value, value_scale)):
        if scales is None:
            ring[at] = frame.to(ring.dtype)
        else:
            ring[at], scales[at] = quantize(frame, ring.dtype)
    return q.contiguous()
