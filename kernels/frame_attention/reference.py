"""Attention over frames in plain PyTorch: the definition of the op, and what runs on a CPU."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.kernels.frame_attention.layout import Layout

SMALL = 64 * 64  # scores per head up to which two plain products are faster than SDPA on a CPU


class Places(NamedTuple):
    """Clip, block (0 is the context, then its copies) and frame of each token or frame, all `(L,)` int64."""

    clip: Tensor
    block: Tensor
    time: Tensor


def frame_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """See `worldsim.kernels.frame_attention.frame_attention`."""
    length = q.shape[1]
    if layout.offsets is not None:
        out = attend(q, k, v, visible(packed_places(length, layout, q.device), layout))
        inside = torch.arange(length, dtype=torch.int64, device=q.device) < layout.offsets[-1]
        return torch.where(inside[:, None, None], out, 0.0)
    frames = length // layout.tokens
    if not layout.causal or frames == 1:
        return attend(q, k, v, None)
    index = torch.arange(frames, dtype=torch.int64, device=q.device)
    context = frames // (1 + layout.copies)
    seen = visible(Places(torch.zeros_like(index), index // context, index % context), layout)
    each = (frames, layout.tokens)
    return attend(q, k, v, seen[:, None, :, None].expand(*each, *each).reshape(length, length))


def packed_places(length: int, layout: Layout, device: torch.device) -> Places:
    """Places of packed tokens; those after the last clip count as one more clip."""
    assert layout.offsets is not None
    index = torch.arange(length, dtype=torch.int64, device=device)
    ends = torch.cat([layout.offsets[1:].long(), index.new_full((1,), length)])
    clip = torch.searchsorted(layout.offsets[1:].long(), index, right=True)
    begin = layout.offsets.long()[clip]
    context = ((ends[clip] - begin) // (1 + layout.copies)).clamp(min=1)
    tokens = layout.tokens if layout.clip_tokens is None else F.pad(layout.clip_tokens.long(), (0, 1), value=1)[clip]
    return Places(clip, (index - begin) // context, (index - begin) % context // tokens)


def visible(places: Places, layout: Layout) -> Tensor:
    """`(L, L)` bool, True where the query (row) sees the key (column)."""
    clip, block, time = places
    same_clip = clip[:, None] == clip[None, :]
    if not layout.causal:
        return same_clip
    age = time[:, None] - time[None, :]
    past = (age > 0) & (age < layout.window) & (block == 0)[None, :]
    return same_clip & (past | ((age == 0) & (block[:, None] == block[None, :])))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """`q (B, Q, H, D)`, `k`, `v (B, K, G, D)`, mask `(Q, K)` bool, True where seen -> `(B, Q, H, D)`."""
    q, k, v = (a.transpose(1, 2) for a in (q, k, v))
    small = q.shape[2] * k.shape[2] <= SMALL and q.shape[0] > 1
    if q.device.type == "cpu" and small and q.dtype != torch.float16:  # float16 would round scores too much
        return _attend_small(q, k, v, mask).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1]).transpose(1, 2)


def _attend_small(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    k, v = (a.repeat_interleave(q.shape[1] // a.shape[1], 1) if a.shape[1] != q.shape[1] else a for a in (k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e4)
    return scores.softmax(-1) @ v
