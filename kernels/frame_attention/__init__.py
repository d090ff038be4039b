"""Attention over whole clips, for training and prefill."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS, check_head_size, check_layout
from worldsim.kernels.choose import choose
from worldsim.kernels.frame_attention import reference
from worldsim.kernels.frame_attention.layout import Layout

__all__ = ["frame_attention"]

UNBOUNDED = 1 << 30  # frames; longer than any clip

_LAYOUT = "int tokens, bool causal, int window, int copies, Tensor? offsets, Tensor? clip_tokens"
torch.library.define("worldsim::frame_attention_forward", f"(Tensor q, Tensor k, Tensor v, {_LAYOUT}) -> (Tensor, Tensor)")
torch.library.define(
    "worldsim::frame_attention_backward",
    f"(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, {_LAYOUT}) -> (Tensor, Tensor, Tensor)",
)


def _forward(q: Tensor, k: Tensor, v: Tensor, *layout: Any) -> tuple[Tensor, Tensor]:
    from worldsim.kernels.frame_attention import triton

    return triton.forward(q, k, v, Layout(*layout))


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, *layout: Any) -> tuple[Tensor, ...]:
    from worldsim.kernels.frame_attention import triton

    return triton.backward(grad, q, k, v, out, lse, Layout(*layout))


def _forward_shapes(q: Tensor, k: Tensor, v: Tensor, *layout: Any) -> tuple[Tensor, Tensor]:
    batch, length, heads, size = q.shape
    return q.new_empty(batch, length, heads, size), q.new_empty((batch, heads, length), dtype=torch.float32)


def _backward_shapes(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


torch.library.impl("worldsim::frame_attention_forward", ("cpu", "cuda"), _forward)
torch.library.impl("worldsim::frame_attention_backward", ("cpu", "cuda"), _backward)
torch.library.register_fake("worldsim::frame_attention_forward", _forward_shapes)
torch.library.register_fake("worldsim::frame_attention_backward", _backward_shapes)


class _FrameAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, *layout: Any) -> Tensor:
        out, lse = torch.ops.worldsim.frame_attention_forward(q, k, v, *layout)
        *ctx.numbers, offsets, clip_tokens = layout
        ctx.save_for_backward(q, k, v, out, lse, offsets, clip_tokens)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *saved, offsets, clip_tokens = ctx.saved_tensors
        layout = (*ctx.numbers, offsets, clip_tokens)
        found = torch.ops.worldsim.frame_attention_backward(grads[0].contiguous(), *saved, *layout)
        return (*found, *(None for _ in layout))


def frame_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tokens_per_frame: int | Tensor,
    *,
    causal: bool = True,
    window: int | None = None,
    cu_seqlens: Tensor | None = None,
    copies: int = 0,
    impl: str = "auto",
) -> Tensor:
    """Attention with a mask per frame: each token attends to all tokens of the frames visible from its own frame.

    If `causal`, frame `t` attends to itself and to the `window - 1` frames before it. Otherwise every frame
    attends to its whole clip. First-order gradients only.

    With `copies`, a clip is `1 + copies` blocks of the same number of frames: the context, then noisy copies of
    it. Frame `t` of a copy attends to itself and to those context frames before `t` that context frame `t`
    attends to. The context does not attend to copies.

    Clips of different sizes need no padding: pack them one after another into a single row and pass
    `cu_seqlens`.

    Args:
        q: `(B, L, H, D)`, float32, bfloat16 or float16; `D` 16, 32, 64 or 128.
        k, v: `(B, L, G, D)` in the dtype of `q`; `H` a multiple of `G`. In `q`, `k` and `v`, the last two
            axes are contiguous and tokens evenly spaced, so slices of one fused projection need no copy.
        tokens_per_frame: `L` must be a multiple of `1 + copies` times this. For packed clips it can also be a
            tensor `(clips,)` int32, one number per clip.
        causal: whether frames attend to no later frame. If False, `window` has no effect.
        window: number of frames that a frame attends to, itself included; None for all earlier ones.
        cu_seqlens: `(clips + 1,)` int32, for packed clips (`B` 1): the offset of each clip's first token, rising
            from 0, then the end of the last clip, at most `L`. Every clip must be a multiple of `1 + copies` times
            its tokens per frame; this is not checked, since it would synchronise with the GPU. Tokens after
            the last clip give 0.
        copies: number of noisy copies after the context.
        impl: "reference" (plain PyTorch), "triton", or "auto", which chooses by device.

    Returns:
        `(B, L, H, D)` in the dtype of `q`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    _check(q, k, v)
    layout = _layout(q, tokens_per_frame, causal, window, cu_seqlens, copies)
    if choose(impl, q.device) == "reference":
        return reference.frame_attention(q, k, v, layout)
    return _FrameAttention.apply(q, k, v, *layout)


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, given in (("q", q), ("k", k)):
        if given.ndim != 4 or 0 in given.shape:
            raise ValueError(f"{name} has shape {tuple(given.shape)}; it must be 4 axes (batch, tokens, heads, size), none 0.")
    batch, length, heads, size = q.shape
    check_head_size("q", q)
    check_layout("q", q, q.shape, FLOATS, q.device, inner=2)
    if heads % k.shape[2]:
        raise ValueError(f"k has {k.shape[2]} heads and q {heads}; the heads of q must be a multiple of those of k.")
    check_layout("k", k, (batch, length, k.shape[2], size), (q.dtype,), q.device, inner=2)
    check_layout("v", v, k.shape, (q.dtype,), q.device, inner=2)


def _layout(q: Tensor, tokens: int | Tensor, causal: bool, window: int | None, cu_seqlens: Tensor | None, copies: int) -> Layout:
    """The layout, once every part of it has been checked."""
    window = UNBOUNDED if window is None else window
    for name, value, least in (("window", window, 1), ("copies", copies, 0)):
        if not least <= value <= UNBOUNDED:
            raise ValueError(f"{name} was {value}; give {least} to {UNBOUNDED}.")
    if copies and not causal:
        raise ValueError(f"copies was {copies} with causal=False; copies see the past only, so give 0 or causal=True.")
    if cu_seqlens is not None:
        check_layout("cu_seqlens", cu_seqlens, (max(2, cu_seqlens.numel()),), (torch.int32,), q.device)
        if q.shape[0] != 1:
            raise ValueError(f"q has {q.shape[0]} rows; packed clips (cu_seqlens) lie in a single row.")
    clip_tokens = tokens if isinstance(tokens, Tensor) else None
    if clip_tokens is not None:
        if cu_seqlens is None:
            raise ValueError("tokens_per_frame is a tensor, which is for packed clips; give an int, or cu_seqlens too.")
        check_layout("tokens_per_frame", clip_tokens, (len(cu_seqlens) - 1,), (torch.int32,), q.device)
    whole = 1 if isinstance(tokens, Tensor) else tokens * (1 + copies)
    if whole < 1 or (cu_seqlens is None and q.shape[1] % whole):
        raise ValueError(
            f"tokens_per_frame was {tokens}; it must be at least 1, and the {q.shape[1]} tokens of q a multiple of "
            f"1 + copies ({1 + copies}) times it."
        )
    each = 1 if isinstance(tokens, Tensor) else tokens
    return Layout(each, causal, window, copies, cu_seqlens, clip_tokens)
