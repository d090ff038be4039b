"""Checks of arguments that all ops share: made before anything is launched, and the same on every device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

HEAD_SIZES = (16, 32, 64, 128)
FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def check_layout(
    name: str, given: Tensor, shape: Sequence[int], dtypes: Sequence[torch.dtype], device: torch.device, inner: int | None = None
) -> None:
    """Raises ValueError unless `given` has this shape, device and one of these dtypes, and is contiguous.

    With `inner`, only its last `inner` axes must be contiguous, and all such rows equally far apart; see
    `row_step`.
    """
    if given.shape != torch.Size(shape):
        raise ValueError(f"{name} has shape {tuple(given.shape)}; it must be {tuple(shape)} to match the other arguments.")
    if given.dtype not in dtypes:
        raise ValueError(f"{name} is {given.dtype}; allowed here: {', '.join(map(str, dtypes))}.")
    if given.device != device:
        raise ValueError(f"{name} is on {given.device}; move it to {device}, where the other arguments are.")
    if not given.is_contiguous() if inner is None else row_step(given, inner) is None:
        raise ValueError(f"{name} has strides {given.stride()} for shape {tuple(given.shape)}; pass {name}.contiguous().")


def row_step(given: Tensor, inner: int) -> int | None:
    """Elements between the starts of rows, which are the last `inner` axes.

    None unless every row is contiguous and rows are evenly spaced.
    """
    expected = 1
    for axis in range(given.ndim - 1, given.ndim - inner - 1, -1):
        if given.shape[axis] > 1 and given.stride(axis) != expected:
            return None
        expected *= given.shape[axis]
    step = None
    for axis in range(given.ndim - inner - 1, -1, -1):
        if given.shape[axis] > 1:
            step, expected = (given.stride(axis),) * 2 if step is None else (step, expected)
            if given.stride(axis) != expected:
                return None
            expected *= given.shape[axis]
    return expected if step is None else step


def check_head_size(name: str, given: Tensor) -> None:
    """Raises ValueError unless the last axis is a head size that the kernels support."""
    if given.shape[-1] not in HEAD_SIZES:
        raise ValueError(f"{name} has head size {given.shape[-1]}; supported: {', '.join(map(str, HEAD_SIZES))}.")
