"""Norm, rotation and ring write on a GPU, in one pass over the projection.

A program takes neighbouring heads of one row of the batch, whatever they are (query, key or value): norm and rotation are worked
out for all, and each goes where its kind belongs. The arithmetic is float32 and rounds once.
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
from worldsim.kernels.qkv_write.reference import LIMITS, SMALLEST


@triton.jit
def _put(ring_ptr, scale_ptr, place, one, other, mask, D: tl.constexpr, LIMIT: tl.constexpr, SMALLEST: tl.constexpr):
    """Writes head vectors, given in halves, to their places in the ring; quantised if there is a limit."""
    if LIMIT > 0:
        largest = tl.maximum(tl.max(tl.abs(one), 1), tl.max(tl.abs(other), 1))
        scale = tl.maximum(largest, SMALLEST) / LIMIT
        tl.store(scale_ptr + place, scale, mask=mask)
        one, other = one / scale[:, None], other / scale[:, None]
        if ring_ptr.dtype.element_ty == tl.int8:
            one, other = tl.floor(one + 0.5), tl.floor(other + 0.5)
    at = ring_ptr + place[:, None] * D + tl.arange(0, D // 2)
    tl.store(at, one.to(ring_ptr.dtype.element_ty), mask=mask[:, None])
    tl.store(at + D // 2, other.to(ring_ptr.dtype.element_ty), mask=mask[:, None])


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
    sinks,
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
    head = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = head < tokens * (H + 2 * G)
    token, kind = head // (H + 2 * G), head % (H + 2 * G)
    is_query, is_value = kind < H, kind >= H + G
    d = tl.arange(0, HALF)

    at = qkv_ptr + (b * tokens * (H + 2 * G) + head)[:, None] * D + d
    one = tl.load(at, mask=inside[:, None], other=0.0).to(tl.float32)
    other = tl.load(at + HALF, mask=inside[:, None], other=0.0).to(tl.float32)
    norm = tl.rsqrt((tl.sum(one * one, 1) + tl.sum(other * other, 1)) / D + eps)[:, None]
    low = tl.where(is_query[:, None], tl.load(query_weight_ptr + d)[None, :], tl.load(key_weight_ptr + d)[None, :])
    high = tl.where(is_query[:, None], tl.load(query_weight_ptr + HALF + d)[None, :], tl.load(key_weight_ptr + HALF + d)[None, :])
    a, z = one * norm * low.to(tl.float32), other * norm * high.to(tl.float32)
    angle = b * angle_stride + token[:, None] * HALF + d
    turned = (inside & ~is_value)[:, None]
    cos = tl.load(cos_ptr + angle, mask=turned, other=1.0).to(tl.float32)
    sin = tl.load(sin_ptr + angle, mask=turned, other=0.0).to(tl.float32)
    turned_one, turned_other = a * cos - z * sin, z * cos + a * sin

    out = q_ptr + ((b * tokens + token) * H + kind)[:, None] * D + d
    tl.store(out, turned_one.to(q_ptr.dtype.element_ty), mask=(inside & is_query)[:, None])
    tl.store(out + HALF, turned_other.to(q_ptr.dtype.element_ty), mask=(inside & is_query)[:, None])
    position = tl.load(position_ptr + b)
    slot = tl.where(position < sinks, position, sinks + (position - sinks) % (slots - sinks))
    place = ((b * slots + slot) * tokens + token) * G + kind - H
    is_key = inside & ~is_query & ~is_value
    _put(key_ptr, key_scale_ptr, place, turned_one, turned_other, is_key, D, LIMIT, SMALLEST)
    _put(value_ptr, value_scale_ptr, place - G, one, other, inside & is_value, D, LIMIT, SMALLEST)


HELD = 2048  # numbers that one program holds


def qkv_write(
    qkv: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    sinks: int,
    eps: float,
    key_scale: Tensor | None,
    value_scale: Tensor | None,
) -> Tensor:
    """See `worldsim.kernels.qkv_write.qkv_write`; arguments are checked there."""
    if keys.dtype == torch.float8_e4m3fn and keys.is_cuda and torch.cuda.get_device_capability(keys.device) < (8, 9):
        raise ValueError(
            "keys is torch.float8_e4m3fn, which this GPU cannot convert (compute capability 8.9 can); use torch.int8."
        )
    batch, slots, tokens, groups, size = keys.shape
    heads = qkv.shape[-1] // size
    q = qkv.new_empty(batch, tokens, heads - 2 * groups, size)
    block = HELD // size
    with torch.cuda.device_of(qkv):
        qkv_write_kernel[(triton.cdiv(tokens * heads, block), batch)](
            qkv, query_weight, key_weight, cos, sin, keys, values, position, key_scale, value_scale, q,
            eps, tokens, slots, sinks, 0 if len(cos) == 1 else tokens * size // 2, H=heads - 2 * groups, G=groups, D=size,
            BLOCK=block, LIMIT=LIMITS.get(keys.dtype, 0.0), SMALLEST=SMALLEST, num_warps=4,
        )  # fmt: skip
    return q


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """See `worldsim.kernels.ring_attention.triton.shipped`."""
    limits = {"bf16": 0.0, "fp16": 0.0, "fp32": 0.0, "i8": 127.0} | ({"fp8e4nv": 448.0} if major >= 9 else {})
    for (ring, limit), size in product(limits.items(), HEAD_SIZES):
        name = "bf16" if limit else ring
        types = dict.fromkeys(("qkv_ptr", "query_weight_ptr", "key_weight_ptr", "q_ptr"), f"*{name}") | {"eps": "fp32"}
        types |= {"cos_ptr": "*fp32", "sin_ptr": "*fp32", "key_ptr": f"*{ring}", "value_ptr": f"*{ring}", "position_ptr": "*i64"}
        types |= dict.fromkeys(("tokens", "slots", "sinks", "angle_stride"), "i32")
        types |= {"key_scale_ptr": "*fp32", "value_scale_ptr": "*fp32"} if limit else {}
        constants: dict[str, Any] = {"H": 16, "G": 4, "D": size, "BLOCK": HELD // size, "LIMIT": limit, "SMALLEST": SMALLEST}
        constants |= {} if limit else {"key_scale_ptr": None, "value_scale_ptr": None}
        yield qkv_write_kernel, types, constants, {"num_warps": 4}
