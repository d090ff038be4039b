"""Attention over frames on a GPU, forward and backward, without a mask tensor.

A program visits only blocks that some of its rows see, and masks only those that not all of its rows see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from worldsim.kernels.checks import HEAD_SIZES, row_step
from worldsim.kernels.frame_attention.backward import key_grad_kernel, query_grad_kernel
from worldsim.kernels.frame_attention.forward import forward_kernel
from worldsim.kernels.frame_attention.layout import Layout

LOG2E = math.log2(math.e)


class Tile(NamedTuple):
    """What one program handles at a time: queries and keys; its warps and pipeline stages."""

    queries: int
    keys: int
    warps: int
    stages: int


def tile_for(kernel: Any, context: int, size: int, dtype: torch.dtype, major: int) -> Tile:
    """The tile for contexts of so many tokens, this head size, dtype and major compute capability.

    As large as possible without spilling registers; accumulators of mma.sync (major 8) take more of them than
    those of wgmma.
    """
    wide, hopper = size > 64, major >= 9
    if dtype == torch.float32:  # exact products, which tensor cores do not give
        return Tile(16, 32, 8, 2) if wide else Tile(32, 32, 8, 2)
    if kernel is key_grad_kernel:
        return Tile(64, 128, 8, 2) if hopper and not wide else Tile(32, 64 if wide else 128, 8, 2)
    keys = 64 if hopper else 32
    if context <= 64:
        return Tile(64, keys, 8 if wide else 4, 2)
    if kernel is forward_kernel:
        return Tile(128, keys, 8, 3)
    return Tile(64 if wide and not hopper else 128, keys, 8, 2)


@lru_cache
def _major(device: torch.device) -> int:
    """Major compute capability; an H100 is assumed where kernels are interpreted."""
    return torch.cuda.get_device_properties(device).major if device.type == "cuda" else 9


def forward(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """`(B, L, H, D)` output and `(B, H, L)` log2-sum-exps, float32.

    `frame_attention` checks the arguments.
    """
    batch, length, heads, _ = q.shape
    out = _empty(q, layout)
    lse = q.new_empty((batch, heads, length), dtype=torch.float32)
    _launch(forward_kernel, (q, k, v, out, lse), q, k, v, layout)
    return out, lse


def backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `q`, `k` and `v`, contiguous, from the gradient `grad` of the output."""
    q_grad, k_grad, v_grad = (_empty(a, layout) for a in (q, k, v))
    delta = torch.empty_like(lse)
    _launch(query_grad_kernel, (grad, q, k, v, out, lse, delta, q_grad), q, k, v, layout)
    _launch(key_grad_kernel, (grad, q, k, v, lse, delta, k_grad, v_grad), q, k, v, layout)
    return q_grad, k_grad, v_grad


def _empty(like: Tensor, layout: Layout) -> Tensor:
    """A contiguous output; zeros for packed clips, since no program computes tokens after the last clip."""
    return like.new_empty(like.shape) if layout.offsets is None else like.new_zeros(like.shape)


def _launch(kernel: Any, tensors: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> None:
    batch, length, heads, size = q.shape
    clips = 0 if layout.offsets is None else len(layout.offsets) - 1
    segments = 1 + layout.copies
    tile = tile_for(kernel, length // segments, size, q.dtype, _major(q.device))
    block, programs = (tile.keys, k.shape[2]) if kernel is key_grad_kernel else (tile.queries, heads)
    blocks = triton.cdiv(length // segments, block) if not clips else length // segments // block + clips
    with torch.cuda.device_of(q):
        kernel[(batch, blocks * segments, programs)](  # only the first axis of a grid has no limit
            *tensors, layout.offsets, layout.clip_tokens, size**-0.5 * LOG2E, row_step(q, 2), row_step(k, 2), row_step(v, 2),
            length, layout.tokens, clips, layout.window, heads // k.shape[2],
            **_constants(size, q.dtype, layout.copies, layout.causal, triton.next_power_of_2(clips) if clips else 0, tile),
            **_options(tile, size, q.dtype, _major(q.device)),
        )  # fmt: skip


def _options(tile: Tile, size: int, dtype: torch.dtype, major: int) -> dict[str, int]:
    """Launch options. Without `maxnreg` the assembler spills registers to fit one more program."""
    roomy = {"maxnreg": 255} if dtype == torch.float32 or (major < 9 and size <= 64) else {}
    return {"num_warps": tile.warps, "num_stages": tile.stages} | roomy


def _constants(size: int, dtype: torch.dtype, copies: int, causal: bool, clips: int, tile: Tile) -> dict[str, Any]:
    blocks = {"BLOCK_M": tile.queries, "BLOCK_N": tile.keys, "PRECISION": "ieee" if dtype == torch.float32 else "tf32"}
    return {"D": size, "COPIES": copies, "CAUSAL": causal, "CLIPS": clips} | blocks


KERNELS = {
    forward_kernel: ("q_ptr", "k_ptr", "v_ptr", "out_ptr"),
    query_grad_kernel: ("grad_ptr", "q_ptr", "k_ptr", "v_ptr", "out_ptr", "q_grad_ptr"),
    key_grad_kernel: ("grad_ptr", "q_ptr", "k_ptr", "v_ptr", "k_grad_ptr", "v_grad_ptr"),
}


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """Every kernel for GPUs of this major compute capability; see `worldsim.kernels.aot.Case`."""
    names = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}
    masks = ((0, True, 0), (0, False, 0), (1, True, 0), (0, True, 32))  # copies, causal, packed clips
    for (kernel, pointers), (dtype, name), size in product(KERNELS.items(), names.items(), HEAD_SIZES):
        for tile in sorted({tile_for(kernel, context, size, dtype, major) for context in (64, 4096)}):
            for copies, causal, clips in masks:
                types = dict.fromkeys(pointers, f"*{name}") | {"lse_ptr": "*fp32", "scale": "fp32"}
                types |= {} if kernel is forward_kernel else {"delta_ptr": "*fp32"}
                types |= dict.fromkeys(("q_step", "k_step", "v_step"), "i32:16")
                types |= dict.fromkeys(("length", "tokens", "clips", "window", "group"), "i32")
                types |= {"offsets_ptr": "*i32", "clip_tokens_ptr": "*i32"} if clips else {}
                constants = _constants(size, dtype, copies, causal, clips, tile)
                constants |= {} if clips else {"offsets_ptr": None, "clip_tokens_ptr": None}
                yield kernel, types, constants, _options(tile, size, dtype, major)
