"""What the ops are measured against: PyTorch's own attention, FlexAttention, and their references compiled by Inductor.

All take what the op takes, in its layout, and do what a user without the op would do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

FLASH, CUDNN, EFFICIENT = SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION
Attend = Callable[[Tensor, Tensor, Tensor, Any], Tensor]  # q, k, v (B, heads, tokens, D) and a mask


def sdpa(backend: SDPBackend) -> Attend:
    """SDPA by one backend and no other. The efficient one knows no grouped queries, so its keys and values are repeated."""

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Any = None) -> Tensor:
        if backend == EFFICIENT:
            k, v = (a.repeat_interleave(q.shape[1] // a.shape[1], 1) for a in (k, v))
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1])

    return attend


def flex(tuned: bool = False) -> Attend:
    """FlexAttention, compiled as it is meant to be; `tuned` for the slow search of the fastest tiles."""
    mode = "max-autotune-no-cudagraphs" if tuned else None
    run: Any = torch.compile(flex_attention, dynamic=False, mode=mode)

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask | None = None) -> Tensor:
        return run(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])

    return attend


def over_frames(attend: Attend, mask: Any = None) -> Callable[..., Tensor]:
    """Takes `(B, L, heads, D)`, as `frame_attention` does."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (a.transpose(1, 2) for a in (q, k, v))
        return attend(q, k, v, mask).transpose(1, 2)

    return run


def over_ring(attend: Attend, make_mask: Callable[[Tensor], Any] | None = None) -> Callable[..., Tensor]:
    """Takes queries, ring and position, as `ring_attention` does; the mask, if any, is made anew from the position."""

    def run(q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
        q, k, v = (a.transpose(1, 2) for a in (q, keys.flatten(1, 2), values.flatten(1, 2)))
        return attend(q, k, v, make_mask(position) if make_mask else None).transpose(1, 2)

    return run


def along_time(attend: Attend, make_mask: Callable[[Tensor], Any] | None = None) -> Callable[..., Tensor]:
    """Takes queries, ring and position, as `temporal_decode` does; every token is a row of the batch. One world only."""

    def run(q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
        k, v = (a[0].permute(1, 2, 0, 3) for a in (keys, values))
        return attend(q[0, :, :, None], k, v, make_mask(position) if make_mask else None)[None, :, :, 0]

    return run


def slot_mask(slots: int, tokens: int) -> Callable[[Tensor], Tensor]:
    """Makes the dense mask `(B, 1, tokens, slots * tokens)` of written slots; with a single query per row, `tokens` is 1."""

    def make(position: Tensor) -> Tensor:
        written = torch.arange(slots, device=position.device) <= position[:, None]
        return written.repeat_interleave(tokens, 1)[:, None, None].expand(-1, -1, tokens, -1)

    return make


def slot_blocks(slots: int, tokens: int, position: Tensor, queries: int | None = None) -> BlockMask:
    """The BlockMask of written slots, which follows the position as long as no block is left out."""

    def seen(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return k // tokens <= position[0]

    return create_block_mask(seen, None, None, queries or tokens, slots * tokens, device=position.device.type)


def frame_blocks(length: int, tokens: int, window: int, device: str) -> BlockMask:
    """The BlockMask of causal frames in a window."""

    def seen(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        age = q // tokens - k // tokens
        return (age >= 0) & (age < window)

    return create_block_mask(seen, None, None, length, length, device=device)


def frame_mask(length: int, tokens: int, window: int, device: str) -> Tensor:
    """The dense mask `(L, L)` of the same."""
    frame = torch.arange(length, device=device) // tokens
    age = frame[:, None] - frame[None, :]
    return (age >= 0) & (age < window)


def trained(run: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Forward and backward, for a gradient of ones."""

    def both(*inputs: Tensor) -> tuple[Tensor, ...]:
        outs = run(*inputs)
        outs = outs if isinstance(outs, tuple) else (outs,)
        return (*outs, *torch.autograd.grad(outs, inputs, [torch.ones_like(out) for out in outs]))

    return both


def inductor(run: Callable[..., Any]) -> Callable[..., Any]:
    """The reference, compiled."""

    def call(*inputs: Tensor) -> Any:
        return run(*inputs)

    return torch.compile(call, dynamic=False, fullgraph=True)
