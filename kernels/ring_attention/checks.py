"""What every op on the ring demands of its arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS, check_head_size, check_layout

QUANTIZED = (torch.int8, torch.float8_e4m3fn)


def check_ring(q: Tensor, keys: Tensor, values: Tensor, position: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    """Raises ValueError, naming the argument, unless one frame's queries fit this ring whose dtype is one of `dtypes`."""
    if q.ndim != 4 or 0 in q.shape:
        raise ValueError(f"q has shape {tuple(q.shape)}; it must be (B, N, H, D), none of them 0.")
    batch, tokens, heads, size = q.shape
    check_head_size("q", q)
    check_layout("q", q, q.shape, FLOATS, q.device)
    if keys.ndim != 5 or 0 in keys.shape:
        raise ValueError(f"keys has shape {tuple(keys.shape)}; it must be (B, S, N, G, D), none of them 0.")
    slots, groups = keys.shape[1], keys.shape[3]
    if heads % groups:
        raise ValueError(f"keys has {groups} heads and q {heads}; the heads of q must be a multiple of those of keys.")
    check_layout("keys", keys, (batch, slots, tokens, groups, size), dtypes, q.device)
    check_layout("values", values, keys.shape, (keys.dtype,), q.device)
    check_layout("position", position, (batch,), (torch.int64,), q.device)


def check_scales(keys: Tensor, key_scale: Tensor | None, value_scale: Tensor | None) -> None:
    """Raises ValueError unless both scales are there exactly when the ring is quantised, as `(B, S, N, G)` float32."""
    for name, scale in (("key_scale", key_scale), ("value_scale", value_scale)):
        if scale is None and keys.dtype in QUANTIZED:
            raise ValueError(f"{name} is missing; a ring of {keys.dtype} needs float32 scales of shape {tuple(keys.shape[:-1])}.")
        if scale is not None and keys.dtype not in QUANTIZED:
            raise ValueError(f"{name} was given, but keys is {keys.dtype}; only {', '.join(map(str, QUANTIZED))} have scales.")
        if scale is not None:
            check_layout(name, scale, keys.shape[:-1], (torch.float32,), keys.device)
