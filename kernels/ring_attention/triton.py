"""Streaming attention on a GPU, without a mask or host synchronisation.

Keys are split over programs and merged in a fixed order. Query heads that share a key head are rows of one
tile. Slots are written in order, so the frames of a batch row are a prefix of its ring, whose length follows
from its position. Online softmax: Dao 2023, arXiv:2307.08691, section 3.1. Merging splits by their
log-sum-exps: Flash-Decoding (Dao et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldsim.kernels.checks import HEAD_SIZES
from worldsim.kernels.ring_attention.merge import merge


@triton.jit
def _visit(
    q,
    keys,
    values,
    first,
    stop,
    top,
    total,
    acc,
    scale,
    STRIDE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    RAGGED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Adds one block of keys to the online softmax; a ragged block ends at `stop`."""
    tokens = first + tl.arange(0, BLOCK_N)
    at = tokens[:, None] * STRIDE
    if RAGGED:
        k = tl.load(keys + at, mask=(tokens < stop)[:, None], other=0.0)
        v = tl.load(values + at, mask=(tokens < stop)[:, None], other=0.0)
    else:
        k = tl.load(keys + at)
        v = tl.load(values + at)
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    if RAGGED:
        scores = tl.where((tokens < stop)[None, :], scores, float("-inf"))
    new_top = tl.maximum(top, tl.max(scores, 1))
    weights = tl.exp2(scores - new_top[:, None])
    decay = tl.exp2(top - new_top)
    total = total * decay + tl.sum(weights, 1)
    acc = tl.dot(weights.to(v.dtype), v, acc * decay[:, None], input_precision=PRECISION)
    return new_top, total, acc


@triton.jit
def ring_attention_kernel(
    q_ptr,
    key_ptr,
    value_ptr,
    position_ptr,
    out_ptr,
    lse_ptr,
    scale,
    batch,
    tokens,
    slots,
    G: tl.constexpr,
    R: tl.constexpr,
    D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SPLITS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    b, g, split = tl.program_id(1) // G, tl.program_id(1) % G, tl.program_id(2)
    packed = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = packed < tokens * R
    row = (b.to(tl.int64) * tokens + packed // R) * (G * R) + g * R + packed % R
    d = tl.arange(0, D)
    q = tl.load(q_ptr + row[:, None] * D + d, mask=inside[:, None], other=0.0)

    length = tl.minimum(tl.load(position_ptr + b) + 1, slots).to(tl.int32) * tokens
    share = tl.cdiv(tl.cdiv(length, BLOCK_N), SPLITS) * BLOCK_N
    start = tl.minimum(split * share, length)
    stop = tl.minimum(start + share, length)
    whole = start + (stop - start) // BLOCK_N * BLOCK_N
    ring = (b.to(tl.int64) * slots * tokens * G + g) * D
    keys, values = key_ptr + ring + d[None, :], value_ptr + ring + d[None, :]

    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, D], tl.float32)
    for first in range(start, whole, BLOCK_N):
        top, total, acc = _visit(q, keys, values, first, stop, top, total, acc, scale, G * D, BLOCK_N, False, PRECISION)
    if whole < stop:
        top, total, acc = _visit(q, keys, values, whole, stop, top, total, acc, scale, G * D, BLOCK_N, True, PRECISION)

    total = tl.where(total == 0, 1.0, total)  # a split without keys gives 0 and a log-sum-exp of -inf
    out = acc / total[:, None]
    if SPLITS > 1:
        row += split.to(tl.int64) * batch * tokens * (G * R)
        tl.store(lse_ptr + row, top + tl.log2(total), mask=inside)
    tl.store(out_ptr + row[:, None] * D + d, out.to(out_ptr.dtype.element_ty), mask=inside[:, None])


class Tile(NamedTuple):
    """What one program handles at a time: rows of queries and keys; its warps and pipeline stages."""

    queries: int
    keys: int
    warps: int
    stages: int


MOST_SPLITS = 32


def tile_for(queries: int, size: int, dtype: torch.dtype, major: int = 9) -> Tile:
    """The tile for so many rows of queries, this head size, dtype and major compute capability."""
    if dtype == torch.float32:  # exact products, which tensor cores do not give
        return Tile(16, 32 if size <= 64 else 16, 8, 2)
    if queries <= 16:
        return Tile(16, 64, 4, 3)
    rows = 64 if triton.cdiv(queries, 64) * 64 <= 0.875 * triton.cdiv(queries, 128) * 128 else 128
    if major < 9 and size > 64:  # accumulators fill the registers of mma.sync
        return Tile(rows, 32, 8, 2)
    return Tile(64, 128 if size <= 32 else 64, 4, 3) if rows == 64 else Tile(128, 128 if size <= 64 else 64, 8, 2)


def splits_for(programs: int, blocks: int, processors: int) -> int:
    """The fewest splits that keep multiprocessors at least 85% as busy as the best number of splits does."""
    if programs >= 0.8 * processors:
        return 1
    waves = [n * programs / processors for n in range(1, min(blocks, MOST_SPLITS) + 1)]
    use = [wave / math.ceil(wave) for wave in waves]
    return next(n for n, share in enumerate(use, 1) if share >= 0.85 * max(use))


@lru_cache
def _gpu(device: torch.device) -> tuple[int, int]:
    """Major compute capability and multiprocessors; a small GPU is assumed where kernels are interpreted."""
    if device.type != "cuda":
        return 9, 8
    properties = torch.cuda.get_device_properties(device)
    return properties.major, properties.multi_processor_count


def ring_attention(q: Tensor, keys: Tensor, values: Tensor, position: Tensor, num_splits: int | None) -> Tensor:
    """See `worldsim.kernels.ring_attention.ring_attention`, which checks the arguments."""
    batch, tokens, heads, size = q.shape
    slots, groups = keys.shape[1], keys.shape[3]
    major, processors = _gpu(q.device)
    tile = tile_for(tokens * heads // groups, size, q.dtype, major)
    rows = triton.cdiv(tokens * heads // groups, tile.queries)
    splits = num_splits or splits_for(rows * batch * groups, triton.cdiv(slots * tokens, tile.keys), processors)
    out = torch.empty_like(q)
    parts = out if splits == 1 else q.new_empty((splits, *q.shape), dtype=torch.float32)
    lse = parts.new_empty(parts.shape[:-1], dtype=torch.float32) if splits > 1 else parts
    with torch.cuda.device_of(q):
        ring_attention_kernel[(rows, batch * groups, splits)](
            q, keys, values, position, parts, lse, size**-0.5 * math.log2(math.e), batch, tokens, slots,
            G=groups, R=heads // groups, D=size, BLOCK_M=tile.queries, BLOCK_N=tile.keys, SPLITS=splits,
            PRECISION="ieee" if q.dtype == torch.float32 else "tf32", num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
        if splits > 1:
            merge(parts, lse, out)
    return out


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """Kernels for GPUs of this major compute capability; see `worldsim.kernels.aot.Case`."""
    sizes = dict.fromkeys(("batch", "tokens", "slots"), "i32")
    for dtype, name in ((torch.bfloat16, "bf16"), (torch.float16, "fp16"), (torch.float32, "fp32")):
        tiles = {(size, tile_for(rows, size, dtype, major)) for size in HEAD_SIZES for rows in (16, 64, 128)}
        for (size, tile), splits in product(sorted(tiles), (1, 2)):
            types = (
                dict.fromkeys(("q_ptr", "key_ptr", "value_ptr"), f"*{name}") | sizes | {"position_ptr": "*i64", "scale": "fp32"}
            )
            types |= {"out_ptr": f"*{name}" if splits == 1 else "*fp32", "lse_ptr": "*fp32"}
            constants: dict[str, Any] = {
                "G": 4,
                "R": 4,
                "D": size,
                "BLOCK_M": tile.queries,
                "BLOCK_N": tile.keys,
                "SPLITS": splits,
            }
            constants["PRECISION"] = "ieee" if dtype == torch.float32 else "tf32"
            yield ring_attention_kernel, types, constants, {"num_warps": tile.warps, "num_stages": tile.stages}
