"""The adaLN step on a GPU: one pass over memory forward, and one backward.

The arithmetic is float32. The residual is rounded to its dtype before the norm, so that the backward pass
starts from the same values.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldsim.kernels.checks import row_step


@triton.jit
def _frame_vector(ptr, step, frame, W: tl.constexpr, BLOCK_W: tl.constexpr):
    """The vector of one frame as a row `(1, BLOCK_W)`, float32; 0 beyond the width."""
    w = tl.arange(0, BLOCK_W)
    return tl.load(ptr + frame.to(tl.int64) * step + w, mask=w < W, other=0.0).to(tl.float32)[None, :]


@triton.jit
def forward_kernel(
    x_ptr,
    shift_ptr,
    scale_ptr,
    branch_ptr,
    gate_ptr,
    residual_ptr,
    out_ptr,
    eps,
    tokens,
    shift_step,
    scale_step,
    gate_step,
    W: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ROWS: tl.constexpr,
):
    frame = tl.program_id(0)
    token = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    w = tl.arange(0, BLOCK_W)
    inside = (token < tokens)[:, None] & (w < W)[None, :]
    at = (frame.to(tl.int64) * tokens + token)[:, None] * W + w[None, :]
    residual = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if branch_ptr is not None:
        branch = tl.load(branch_ptr + at, mask=inside, other=0.0).to(tl.float32)
        residual += _frame_vector(gate_ptr, gate_step, frame, W, BLOCK_W) * branch
        rounded = residual.to(residual_ptr.dtype.element_ty)
        tl.store(residual_ptr + at, rounded, mask=inside)
        residual = rounded.to(tl.float32)
    normed = residual * tl.rsqrt(tl.sum(residual * residual, 1) / W + eps)[:, None]
    scale = 1 + _frame_vector(scale_ptr, scale_step, frame, W, BLOCK_W)
    out = normed * scale + _frame_vector(shift_ptr, shift_step, frame, W, BLOCK_W)
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(
    residual_grad_ptr,
    grad_ptr,
    residual_ptr,
    scale_ptr,
    branch_ptr,
    gate_ptr,
    x_grad_ptr,
    branch_grad_ptr,
    sums_ptr,
    eps,
    tokens,
    share,
    scale_step,
    gate_step,
    W: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ROWS: tl.constexpr,
):
    """One program handles `share` tokens of one frame.

    It writes its share of the gradients of shift, scale and gate to `sums` `(frames, programs per frame, 3,
    W)`.
    """
    frame, part = tl.program_id(0), tl.program_id(1)
    w = tl.arange(0, BLOCK_W)
    scale = 1 + _frame_vector(scale_ptr, scale_step, frame, W, BLOCK_W)
    gate = scale
    if branch_ptr is not None:
        gate = _frame_vector(gate_ptr, gate_step, frame, W, BLOCK_W)
    shift_sum = tl.zeros([ROWS, BLOCK_W], tl.float32)
    scale_sum = tl.zeros([ROWS, BLOCK_W], tl.float32)
    gate_sum = tl.zeros([ROWS, BLOCK_W], tl.float32)
    stop = tl.minimum((part + 1) * share, tokens)
    for first in range(part * share, stop, ROWS):
        token = first + tl.arange(0, ROWS)
        inside = (token < stop)[:, None] & (w < W)[None, :]
        at = (frame.to(tl.int64) * tokens + token)[:, None] * W + w[None, :]
        residual = tl.load(residual_ptr + at, mask=inside, other=0.0).to(tl.float32)
        grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
        shrink = tl.rsqrt(tl.sum(residual * residual, 1) / W + eps)[:, None]
        normed = residual * shrink
        shift_sum += grad
        scale_sum += grad * normed
        grad *= scale
        x_grad = shrink * (grad - normed * (tl.sum(grad * normed, 1) / W)[:, None])
        if branch_ptr is not None:
            x_grad += tl.load(residual_grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
            branch = tl.load(branch_ptr + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(branch_grad_ptr + at, (gate * x_grad).to(x_grad_ptr.dtype.element_ty), mask=inside)
            gate_sum += x_grad * branch
        tl.store(x_grad_ptr + at, x_grad.to(x_grad_ptr.dtype.element_ty), mask=inside)
    sums = sums_ptr + (frame.to(tl.int64) * tl.num_programs(1) + part) * (3 * W) + w
    tl.store(sums, tl.sum(shift_sum, 0), mask=w < W)
    tl.store(sums + W, tl.sum(scale_sum, 0), mask=w < W)
    if branch_ptr is not None:
        tl.store(sums + 2 * W, tl.sum(gate_sum, 0), mask=w < W)


class Tile(NamedTuple):
    """What one program handles at a time: padded width and tokens; its warps."""

    width: int
    rows: int
    warps: int


PROGRAMS = 1024  # enough to fill any GPU
REGISTERS = 65536  # of a multiprocessor


def tile_for(width: int) -> Tile:
    """The tile for this width: eight elements a thread."""
    padded = triton.next_power_of_2(width)
    rows = max(1, 1024 // padded)
    return Tile(padded, rows, min(16, padded * rows // 256))


def _options(tile: Tile, dtype: torch.dtype) -> dict[str, int]:
    """Launch options. Without `maxnreg` the assembler spills float32 registers to fit one more program."""
    roomy = {"maxnreg": min(255, REGISTERS // (32 * tile.warps))} if dtype == torch.float32 else {}
    return {"num_warps": tile.warps} | roomy


def forward(
    x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None, gate: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Residual (empty without a branch) and output. `norm_modulate` checks the arguments."""
    batch, frames, tokens, width = x.shape
    tile = tile_for(width)
    residual, out = x.new_empty(0 if branch is None else x.shape), torch.empty_like(x)
    with torch.cuda.device_of(x):
        forward_kernel[(batch * frames, triton.cdiv(tokens, tile.rows))](
            x, shift, scale, branch, gate, None if branch is None else residual, out, eps, tokens,
            row_step(shift, 1), row_step(scale, 1), 0 if gate is None else row_step(gate, 1),
            W=width, BLOCK_W=tile.width, ROWS=tile.rows, **_options(tile, x.dtype),
        )  # fmt: skip
    return residual, out


def backward(
    residual_grad: Tensor | None,
    grad: Tensor,
    residual: Tensor,
    scale: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, shift, scale, branch and gate, the last two empty without a branch. Deterministic."""
    batch, frames, tokens, width = residual.shape
    tile = tile_for(width)
    parts = min(triton.cdiv(tokens, tile.rows), triton.cdiv(PROGRAMS, batch * frames))
    x_grad = torch.empty_like(residual)
    branch_grad = residual.new_empty(0 if branch is None else residual.shape)
    sums = residual.new_empty((batch * frames, parts, 3, width), dtype=torch.float32)
    with torch.cuda.device_of(residual):
        backward_kernel[(batch * frames, parts)](
            residual_grad, grad, residual, scale, branch, gate, x_grad, None if branch is None else branch_grad, sums, eps,
            tokens, triton.cdiv(tokens, parts), row_step(scale, 1), 0 if gate is None else row_step(gate, 1),
            W=width, BLOCK_W=tile.width, ROWS=tile.rows, **_options(tile, grad.dtype),
        )  # fmt: skip
    shift_grad, scale_grad, gate_grad = (part.sum(1).to(scale.dtype).view(scale.shape) for part in sums.unbind(2))
    return x_grad, shift_grad, scale_grad, branch_grad, gate_grad if branch is not None else gate_grad.new_empty(0)


def shipped(major: int) -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """Kernels for GPUs of this major compute capability, at some widths; see `worldsim.kernels.aot.Case`."""
    always: dict[Any, tuple[str, ...]] = {forward_kernel: ("x_ptr", "shift_ptr", "scale_ptr", "out_ptr")}
    always[backward_kernel] = ("grad_ptr", "residual_ptr", "scale_ptr", "x_grad_ptr")
    gated: dict[Any, tuple[str, ...]] = {forward_kernel: ("branch_ptr", "gate_ptr", "residual_ptr")}
    gated[backward_kernel] = ("residual_grad_ptr", "branch_ptr", "gate_ptr", "branch_grad_ptr")
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    for kernel, name, width, branch in product(gated, dtypes, (256, 384, 1024, 4096), (True, False)):
        tile = tile_for(width)
        types = dict.fromkeys(always[kernel] + gated[kernel] * branch, f"*{name}") | {"eps": "fp32", "tokens": "i32"}
        types |= {"shift_step": "i32:16"} if kernel is forward_kernel else {"share": "i32", "sums_ptr": "*fp32"}
        types |= {"scale_step": "i32:16", "gate_step": "i32:16"}
        constants: dict[str, Any] = {"W": width, "BLOCK_W": tile.width, "ROWS": tile.rows}
        constants |= {} if branch else dict.fromkeys(gated[kernel])
        yield kernel, types, constants, _options(tile, dtypes[name])
