"""Merges the partial results of splits over keys, always in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from worldsim.kernels.checks import HEAD_SIZES


@triton.jit
def merge_kernel(part_ptr, lse_ptr, out_ptr, rows, splits, D: tl.constexpr, BLOCK: tl.constexpr):
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    inside = row < rows
    d = tl.arange(0, D)
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    part = row
    for _ in range(splits):
        top = tl.maximum(top, tl.load(lse_ptr + part, mask=inside, other=float("-inf")))
        part += rows
    top = tl.where(top == float("-inf"), 0.0, top)  # rows without keys: every weight becomes 0, not NaN
    total = tl.zeros([BLOCK], tl.float32)
    acc = tl.zeros([BLOCK, D], tl.float32)
    part = row
    for _ in range(splits):
        weight = tl.exp2(tl.load(lse_ptr + part, mask=inside, other=float("-inf")) - top)
        total += weight
        acc += weight[:, None] * tl.load(part_ptr + part[:, None] * D + d, mask=inside[:, None], other=0.0)
        part += rows
    out = acc / tl.where(total == 0, 1.0, total)[:, None]
    tl.store(out_ptr + row[:, None] * D + d, out.to(out_ptr.dtype.element_ty), mask=inside[:, None])


ELEMENTS = 1024  # of each split that one program holds


def merge(parts: Tensor, lse: Tensor, out: Tensor) -> None:
    """Fills `out` `(..., D)` from outputs `(splits, ..., D)` and log2-sum-exps `(splits, ...)`, both float32.

    A split without keys has -inf; a row without keys in any split becomes 0.
    """
    size, rows = out.shape[-1], lse[0].numel()
    block = ELEMENTS // size
    merge_kernel[(triton.cdiv(rows, block),)](parts, lse, out, rows, len(parts), D=size, BLOCK=block, num_warps=4)


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """See `worldsim.kernels.ring_attention.triton.shipped`."""
    for size, name in ((size, name) for size in HEAD_SIZES for name in ("bf16", "fp16", "fp32")):
        types = {"part_ptr": "*fp32", "lse_ptr": "*fp32", "out_ptr": f"*{name}", "rows": "i32", "splits": "i32"}
        yield merge_kernel, types, {"D": size, "BLOCK": ELEMENTS // size}, {"num_warps": 4}
