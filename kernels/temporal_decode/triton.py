"""Attention along time on a GPU, bound by memory bandwidth: every key and value is read once.

One program holds all slots (or 64 of them, merged later) of a few pairs of token and key head that are
adjacent in memory, and computes every query head that shares them. With one query for each pair, tensor cores
would not help.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldsim.kernels.checks import HEAD_SIZES
from worldsim.kernels.ring_attention.merge import merge


@triton.jit
def temporal_decode_kernel(
    q_ptr,
    key_ptr,
    value_ptr,
    position_ptr,
    key_scale_ptr,
    value_scale_ptr,
    out_ptr,
    lse_ptr,
    scale,
    batch,
    pairs,
    slots,
    R: tl.constexpr,
    D: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_P: tl.constexpr,
    SPLITS: tl.constexpr,
    QUANTIZED: tl.constexpr,
):
    b, split = tl.program_id(1).to(tl.int64), tl.program_id(2)
    pair = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    slot = split * BLOCK_S + tl.arange(0, BLOCK_S)
    d = tl.arange(0, D)
    inside = pair < pairs
    written = slot < tl.minimum(tl.load(position_ptr + b) + 1, slots)
    seen = written[:, None] & inside[None, :]
    at = (b * slots + slot)[:, None] * pairs + pair[None, :]
    k = tl.load(key_ptr + at[:, :, None] * D + d, mask=seen[:, :, None], other=0.0)
    v = tl.load(value_ptr + at[:, :, None] * D + d, mask=seen[:, :, None], other=0.0)
    if QUANTIZED:
        key_scale = tl.load(key_scale_ptr + at, mask=seen, other=0.0)
        value_scale = tl.load(value_scale_ptr + at, mask=seen, other=0.0)
    for r in tl.static_range(R):
        row = (b * pairs + pair) * R + r
        q = tl.load(q_ptr + row[:, None] * D + d, mask=inside[:, None], other=0.0).to(tl.float32)
        scores = tl.sum(k.to(tl.float32) * q[None, :, :], 2) * scale
        if QUANTIZED:
            scores *= key_scale
        scores = tl.where(written[:, None], scores, float("-inf"))
        top = tl.max(scores, 0)
        weights = tl.exp2(scores - tl.where(top == float("-inf"), 0.0, top)[None, :])
        total = tl.sum(weights, 0)
        total = tl.where(total == 0, 1.0, total)  # without keys: 0, and a log-sum-exp of -inf
        if QUANTIZED:
            weights *= value_scale
        out = tl.sum(weights[:, :, None] * v.to(tl.float32), 0) / total[:, None]
        if SPLITS > 1:
            row += split.to(tl.int64) * batch * pairs * R
            tl.store(lse_ptr + row, top + tl.log2(total), mask=inside)
        tl.store(out_ptr + row[:, None] * D + d, out.to(out_ptr.dtype.element_ty), mask=inside[:, None])


MOST_SLOTS = 64  # slots that one program holds
ELEMENTS = 2048  # of the keys that one warp holds


def block_for(slots: int, size: int) -> tuple[int, int, int]:
    """How many slots and pairs of token and key head one program holds, and its warps."""
    block = min(MOST_SLOTS, triton.next_power_of_2(slots))
    pairs = max(1, ELEMENTS // (block * size))
    return block, pairs, block * pairs * size // ELEMENTS or 1


def temporal_decode(
    q: Tensor, keys: Tensor, values: Tensor, position: Tensor, key_scale: Tensor | None, value_scale: Tensor | None
) -> Tensor:
    """See `worldsim.kernels.temporal_decode.temporal_decode`, which checks the arguments."""
    batch, slots, tokens, groups, size = keys.shape
    pairs, heads = tokens * groups, q.shape[2] // groups
    block, together, warps = block_for(slots, size)
    splits = triton.cdiv(slots, block)
    out = torch.empty_like(q)
    parts = out if splits == 1 else q.new_empty((splits, *q.shape), dtype=torch.float32)
    lse = parts.new_empty(parts.shape[:-1], dtype=torch.float32) if splits > 1 else parts
    with torch.cuda.device_of(q):
        temporal_decode_kernel[(triton.cdiv(pairs, together), batch, splits)](
            q, keys, values, position, key_scale, value_scale, parts, lse,
            size**-0.5 * math.log2(math.e), batch, pairs, slots, R=heads, D=size, BLOCK_S=block, BLOCK_P=together,
            SPLITS=splits, QUANTIZED=key_scale is not None, num_warps=warps,
        )  # fmt: skip
        if splits > 1:
            merge(parts, lse, out)
    return out


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """See `worldsim.kernels.ring_attention.triton.shipped`."""
    for ring, size, slots, heads in product(("bf16", "fp16", "fp32", "i8"), HEAD_SIZES, (4, 16, 32, 64, 128), (1, 4)):
        block, pairs, warps = block_for(slots, size)
        name = "bf16" if ring == "i8" else ring
        scale = "*fp32" if name != ring else None
        splits = triton.cdiv(slots, block)
        types = {"q_ptr": f"*{name}", "key_ptr": f"*{ring}", "value_ptr": f"*{ring}", "position_ptr": "*i64", "scale": "fp32"}
        types |= {"out_ptr": f"*{name}" if splits == 1 else "*fp32", "lse_ptr": "*fp32", "batch": "i32", "pairs": "i32"}
        types |= {"slots": "i32"} | ({"key_scale_ptr": scale, "value_scale_ptr": scale} if scale else {})
        constants: dict[str, Any] = {
            "R": heads,
            "D": size,
            "BLOCK_S": block,
            "BLOCK_P": pairs,
            "SPLITS": splits,
            "QUANTIZED": bool(scale),
        }
        constants |= {} if scale else {"key_scale_ptr": None, "value_scale_ptr": None}
        yield temporal_decode_kernel, types, constants, {"num_warps": warps}
