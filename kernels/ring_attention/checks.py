"""Checks of arguments that the ops on the ring share."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS, check_head_size, check_layout


def check_ring(q: Tensor, keys: Tensor, values: Tensor, position: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    """Raises ValueError unless queries fit the ring and the dtype of the ring is one of `dtypes`."""
    if q.ndim != 4 or 0 in q.shape:
        raise ValueError(f"q has shape {tuple(q.shape)}; it must be (B, N, H, D), without an empty axis.")
    batch, tokens, heads, size = q.shape
    check_head_size("q", q)
    check_layout("q", q, q.shape, FLOATS, q.device)
    if keys.ndim != 5 or 0 in keys.shape:
        raise ValueError(f"keys has shape {tuple(keys.shape)}; it must be (B, S, N, G, D), without an empty axis.")
    slots, groups = keys.shape[1], keys.shape[3]
    if heads % groups:
        raise ValueError(f"keys has {groups} heads and q {heads}; the heads of q must be a multiple of those of keys.")
    check_layout("keys", keys, (batch, slots, tokens, groups, size), dtypes, q.device)
    check_layout("values", values, keys.shape, (keys.dtype,), q.device)
    check_layout("position", position, (batch,), (torch.int64,), q.device)


def check_scales(keys: Tensor, key_scale: Tensor | None, value_scale: Tensor | None) -> None:
    """Raises ValueError unless both scales are given for an int8 ring, and neither for another."""
    for name, scale in (("key_scale", key_scale), ("value_scale", value_scale)):
        if scale is None and keys.dtype == torch.int8:
            raise ValueError(f"{name} is missing; an int8 ring needs float32 scales of shape {tuple(keys.shape[:-1])}.")
        if scale is not None and keys.dtype != torch.int8:
            raise ValueError(f"{name} was given, but keys is {keys.dtype}; only int8 rings have scales, so leave it out.")
        if scale is not None:
            check_layout(name, scale, keys.shape[:-1], (torch.float32,), keys.device)
