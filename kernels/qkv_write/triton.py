"""Norm, rotation and ring write on a GPU, in one pass over the projection.

One program handles consecutive heads of one batch row, be they queries, keys or values: it computes norm and
rotation for all of them and stores each in its place. The arithmetic is float32 and rounds once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldsim.kernels.checks import HEAD_SIZES
from worldsim.kernels.qkv_write.reference import INT8_LIMIT, SMALLEST


@triton.jit
def _store(ring_ptr, scale_ptr, index, first, second, mask, D: tl.constexpr, LIMIT: tl.constexpr, SMALLEST: tl.constexpr):
    """Stores head vectors, given as halves, at `index` of the ring; as int8 if `LIMIT` is not 0."""
    if LIMIT > 0:
        largest = tl.maximum(tl.max(tl.abs(first), 1), tl.max(tl.abs(second), 1))
        scale = tl.maximum(largest, SMALLEST) / LIMIT
        tl.store(scale_ptr + index, scale, mask=mask)
        first, second = tl.floor(first / scale[:, None] + 0.5), tl.floor(second / scale[:, None] + 0.5)
    at = ring_ptr + index[:, None] * D + tl.arange(0, D // 2)
    tl.store(at, first.to(ring_ptr.dtype.element_ty), mask=mask[:, None])
    tl.store(at + D // 2, second.to(ring_ptr.dtype.element_ty), mask=mask[:, None])


@triton.jit
def qkv_write_kernel(
    qkv_ptr,
    query_weight_ptr,
    key_weight_ptr,
    cos_ptr,
    sin_ptr,
    key_ptr,
    value_ptr,
    position_ptr,
    key_scale_ptr,
    value_scale_ptr,
    q_ptr,
    eps,
    tokens,
    slots,
    angle_stride,
    H: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    LIMIT: tl.constexpr,
    SMALLEST: tl.constexpr,
):
    HALF: tl.constexpr = D // 2
    b = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # one head of one token
    inside = row < tokens * (H + 2 * G)
    token, head = row // (H + 2 * G), row % (H + 2 * G)
    is_query, is_value = head < H, head >= H + G
    d = tl.arange(0, HALF)

    at = qkv_ptr + (b * tokens * (H + 2 * G) + row)[:, None] * D + d
    first = tl.load(at, mask=inside[:, None], other=0.0).to(tl.float32)
    second = tl.load(at + HALF, mask=inside[:, None], other=0.0).to(tl.float32)
    inverse_rms = tl.rsqrt((tl.sum(first * first, 1) + tl.sum(second * second, 1)) / D + eps)[:, None]
    low = tl.where(is_query[:, None], tl.load(query_weight_ptr + d)[None, :], tl.load(key_weight_ptr + d)[None, :])
    high = tl.where(is_query[:, None], tl.load(query_weight_ptr + HALF + d)[None, :], tl.load(key_weight_ptr + HALF + d)[None, :])
    normed_first, normed_second = first * inverse_rms * low.to(tl.float32), second * inverse_rms * high.to(tl.float32)
    angle = b * angle_stride + token[:, None] * HALF + d
    rotated = (inside & ~is_value)[:, None]
    cos = tl.load(cos_ptr + angle, mask=rotated, other=1.0).to(tl.float32)
    sin = tl.load(sin_ptr + angle, mask=rotated, other=0.0).to(tl.float32)
    rotated_first, rotated_second = normed_first * cos - normed_second * sin, normed_second * cos + normed_first * sin

    out = q_ptr + ((b * tokens + token) * H + head)[:, None] * D + d
    tl.store(out, rotated_first.to(q_ptr.dtype.element_ty), mask=(inside & is_query)[:, None])
    tl.store(out + HALF, rotated_second.to(q_ptr.dtype.element_ty), mask=(inside & is_query)[:, None])
    slot = tl.load(position_ptr + b) % slots
    index = ((b * slots + slot) * tokens + token) * G + head - H
    is_key = inside & ~is_query & ~is_value
    _store(key_ptr, key_scale_ptr, index, rotated_first, rotated_second, is_key, D, LIMIT, SMALLEST)
    _store(value_ptr, value_scale_ptr, index - G, first, second, inside & is_value, D, LIMIT, SMALLEST)


ELEMENTS = 2048  # of the projection that one program handles


def qkv_write(
    qkv: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    eps: float,
    key_scale: Tensor | None,
    value_scale: Tensor | None,
) -> Tensor:
    """See `worldsim.kernels.qkv_write.qkv_write`, which checks the arguments."""
    batch, slots, tokens, groups, size = keys.shape
    heads = qkv.shape[-1] // size
    q = qkv.new_empty(batch, tokens, heads - 2 * groups, size)
    block = ELEMENTS // size
    with torch.cuda.device_of(qkv):
        qkv_write_kernel[(triton.cdiv(tokens * heads, block), batch)](
            qkv, query_weight, key_weight, cos, sin, keys, values, position, key_scale, value_scale, q,
            eps, tokens, slots, 0 if len(cos) == 1 else tokens * size // 2, H=heads - 2 * groups, G=groups, D=size,
            BLOCK=block, LIMIT=INT8_LIMIT if keys.dtype == torch.int8 else 0.0, SMALLEST=SMALLEST, num_warps=4,
        )  # fmt: skip
    return q


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """See `worldsim.kernels.ring_attention.triton.shipped`."""
    limits = {"bf16": 0.0, "fp16": 0.0, "fp32": 0.0, "i8": INT8_LIMIT}
    for (ring, limit), size in product(limits.items(), HEAD_SIZES):
        name = "bf16" if limit else ring
        types = dict.fromkeys(("qkv_ptr", "query_weight_ptr", "key_weight_ptr", "q_ptr"), f"*{name}") | {"eps": "fp32"}
        types |= {"cos_ptr": "*fp32", "sin_ptr": "*fp32", "key_ptr": f"*{ring}", "value_ptr": f"*{ring}", "position_ptr": "*i64"}
        types |= dict.fromkeys(("tokens", "slots", "angle_stride"), "i32")
        types |= {"key_scale_ptr": "*fp32", "value_scale_ptr": "*fp32"} if limit else {}
        constants: dict[str, Any] = {"H": 16, "G": 4, "D": size, "BLOCK": ELEMENTS // size, "LIMIT": limit, "SMALLEST": SMALLEST}
        constants |= {} if limit else {"key_scale_ptr": None, "value_scale_ptr": None}
        yield qkv_write_kernel, types, constants, {"num_warps": 4}
