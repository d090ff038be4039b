"""What the ops are compared with: PyTorch's attention, FlexAttention, references compiled by Inductor.

Each takes the arguments of an op, in the same layout, and does what a user without the op would do.
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
    """SDPA with this backend only.

    The efficient one has no grouped-query attention, so keys and values are repeated for it.
    """

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Any = None) -> Tensor:
        if backend == EFFICIENT:
            k, v = (a.repeat_interleave(q.shape[1] // a.shape[1], 1) for a in (k, v))
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1])

    return attend


def flex(tuned: bool = False) -> Attend:
    """Compiled FlexAttention; with `tuned`, after a slow search for the fastest tiles."""
    mode = "max-autotune-no-cudagraphs" if tuned else None
    run: Any = torch.compile(flex_attention, dynamic=False, mode=mode)

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask | None = None) -> Tensor:
        return run(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])

    return attend


def over_frames(attend: Attend, mask: Any = None) -> Callable[..., Tensor]:
    """Arguments `(B, L, heads, D)` as for `frame_attention`."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (a.transpose(1, 2) for a in (q, k, v))
        return attend(q, k, v, mask).transpose(1, 2)

    return run


def over_ring(attend: Attend, make_mask: Callable[[Tensor], Any] | None = None) -> Callable[..., Tensor]:
    """Arguments as for `ring_attention`.

    `make_mask`, if given, makes the mask from the position in every call.
    """

    def run(q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
        q, k, v = (a.transpose(1, 2) for a in (q, keys.flatten(1, 2), values.flatten(1, 2)))
        return attend(q, k, v, make_mask(position) if make_mask else None).transpose(1, 2)

    return run


def along_time(attend: Attend, make_mask: Callable[[Tensor], Any] | None = None) -> Callable[..., Tensor]:
    """Arguments as for `temporal_decode`, with a batch of one; every token becomes a row of the batch."""

    def run(q: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
        k, v = (a[0].permute(1, 2, 0, 3) for a in (keys, values))
        return attend(q[0, :, :, None], k, v, make_mask(position) if make_mask else None)[None, :, :, 0]

    return run


def slot_mask(slots: int, tokens: int) -> Callable[[Tensor], Tensor]:
    """Returns a function from position to `(B, 1, tokens, slots * tokens)`, True at written slots."""

    def make(position: Tensor) -> Tensor:
        written = torch.arange(slots, dtype=torch.int64, device=position.device) <= position[:, None]
        return written.repeat_interleave(tokens, 1)[:, None, None].expand(-1, -1, tokens, -1)

    return make


def slot_blocks(slots: int, tokens: int, position: Tensor, queries: int | None = None) -> BlockMask:
    """The BlockMask of written slots.

    It stays valid when `position` changes in place, if it was made for a full ring.
    """

    def seen(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return k // tokens <= position[0]

    return create_block_mask(seen, None, None, queries or tokens, slots * tokens, device=position.device.type)


def frame_blocks(length: int, tokens: int, window: int, device: str) -> BlockMask:
    """The BlockMask of causal attention over frames with a window."""

    def seen(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        age = q // tokens - k // tokens
        return (age >= 0) & (age < window)

    return create_block_mask(seen, None, None, length, length, device=device)


def frame_mask(length: int, tokens: int, window: int, device: str) -> Tensor:
    """The same as a dense mask `(L, L)`."""
    frame = torch.arange(length, dtype=torch.int64, device=device) // tokens
    age = frame[:, None] - frame[None, :]
    return (age >= 0) & (age < window)


def trained(run: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Returns a function that runs forward and backward, with an output gradient of ones."""

    def both(*inputs: Tensor) -> tuple[Tensor, ...]:
        outs = run(*inputs)
        outs = outs if isinstance(outs, tuple) else (outs,)
        return (*outs, *torch.autograd.grad(outs, inputs, [torch.ones_like(out) for out in outs]))

    return both


def inductor(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run` compiled by Inductor."""

    def call(*inputs: Tensor) -> Any:
        return run(*inputs)

    return torch.compile(call, dynamic=False, fullgraph=True)
