"""The seam between the transformer and its kernels: who sees whom in whole clips, and the adaLN step between
sublayers.

On a GPU these are the fused ops of `worldsim.kernels`. On a CPU their references are called directly, since
the checks of arguments would cost 3% of a streamed frame of a small world.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from worldsim.kernels.frame_attention import frame_attention, reference
from worldsim.kernels.frame_attention.layout import Layout as Sight
from worldsim.kernels.norm_modulate import norm_modulate
from worldsim.kernels.norm_modulate.reference import inverse_rms
from worldsim.kernels.norm_modulate.reference import norm_modulate as norm_modulate_on_cpu

EPS = 1e-6


class Layout(NamedTuple):
    """Where the tokens of one call stand, and which frames see which; shared by all layers.

    Attributes:
        space: cos and sin `(N, 1, pairs)` of rotations inside a frame.
        full: cos and sin `(B, T, N, 1, pairs)` of rotations in space and time.
        causal, window, copies: see `DiT.forward`; of clips.
        frame_mask: `(B or 1, T queries, S keys)` bool, True where a frame may look, where there are prompts;
            None for everywhere.
    """

    space: tuple[Tensor, Tensor]
    full: tuple[Tensor, Tensor]
    causal: bool
    window: int
    copies: int
    frame_mask: Tensor | None


def attend(kind: str, q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Attention of a clip: inside its frames ("space"), along each position ("time"), or over both ("joint").

    Args:
        kind: one of the three.
        q: `(B, T, N, H, D)`.
        k, v: `(B, T, N, G, D)`.
        layout: which frames see which.

    Returns:
        `(B, T, N, H, D)`.
    """
    batch, frames, tokens = q.shape[:3]
    if kind == "space":
        q, k, v = (a.flatten(0, 1) for a in (q, k, v))
        return _see(q, k, v, tokens, layout._replace(causal=False, copies=0)).unflatten(0, (batch, frames))
    if kind == "time":
        q, k, v = (rearrange(a, "b t n h d -> (b n) t h d").contiguous() for a in (q, k, v))
        return rearrange(_see(q, k, v, 1, layout), "(b n) t h d -> b t n h d", b=batch)
    q, k, v = (a.flatten(1, 2) for a in (q, k, v))
    return _see(q, k, v, tokens, layout).unflatten(1, (frames, tokens))


def _see(q: Tensor, k: Tensor, v: Tensor, tokens: int, layout: Layout) -> Tensor:
    _, _, causal, window, copies, _ = layout
    if q.is_cuda:
        return frame_attention(q, k, v, tokens, causal=causal, window=window, copies=copies)
    return reference.frame_attention(q, k, v, Sight(tokens, causal, window, copies, None, None))


def attend_prompted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, prompt: tuple[Tensor, Tensor]) -> Tensor:
    """Attention to a prompt besides frames: `q (B, T, N, H, D)`, `k`, `v (B, S, N, G, D)` ->
    `(B, T, N, H, D)`.

    `mask` `(B or 1, T, S)` bool is True where a frame may look. The prompt's keys and values `(B', L, G, D)`
    are seen by every query; `B` is a multiple of `B'`.
    """
    shape, tokens = q.shape, q.shape[2]
    more_k, more_v = (a.repeat_interleave(len(q) // len(a), 0).to(k.dtype) for a in prompt)
    k, v = torch.cat([more_k, k.flatten(1, 2)], 1), torch.cat([more_v, v.flatten(1, 2)], 1)
    if mask is not None:
        mask = mask.repeat_interleave(tokens, -1).repeat_interleave(tokens, -2)
        mask = F.pad(mask, (more_k.shape[1], 0), value=True)[:, None]
    q, k, v = (a.transpose(1, 2) for a in (q.flatten(1, 2), k, v))
    return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1]).transpose(1, 2).reshape(shape)


def causal_mask(context: int, copies: int, window: int, device: torch.device) -> Tensor:
    """Which frames see which, `(T, T)` bool with `T = (1 + copies) * context`; see `DiT.forward`."""
    index = torch.arange((1 + copies) * context, device=device, dtype=torch.int64)
    time, copied = index % context, index >= context
    age = time[:, None] - time[None, :]
    past = (age > 0) & (age < window) & ~copied[None, :]
    return past | (index[:, None] == index[None, :])


def normalize(x: Tensor, weight: Tensor) -> Tensor:
    """RMSNorm of head vectors `(..., D)` with gains `(D,)`."""
    return x * inverse_rms(x, EPS) * weight.to(x.dtype)


def modulate(
    x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None = None, gate: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The residual `x + gate * branch` (`x` without a branch), and its norm, scaled and shifted: what the
    next sublayer gets.

    `x`, `branch` and both results are `(B, T, N, width)`; `shift`, `scale` and `gate` `(B, T, 1, width)`.
    """
    if x.is_cuda:
        return norm_modulate(x, shift, scale, branch, gate, eps=EPS)
    return norm_modulate_on_cpu(x, shift, scale, branch, gate, EPS)
