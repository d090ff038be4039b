"""Joint space-time attention of one frame against a ring of past frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsim.kernels.choose import choose
from worldsim.kernels.ring_attention import reference
from worldsim.kernels.ring_attention.checks import check_ring

__all__ = ["ring_attention"]

torch.library.define(
    "worldsim::ring_attention", "(Tensor q, Tensor keys, Tensor values, Tensor position, int? num_splits) -> Tensor"
)


def _on_cpu(q: Tensor, keys: Tensor, values: Tensor, position: Tensor, num_splits: int | None) -> Tensor:
    return reference.ring_attention(q, keys, values, position)


def _by_triton(*given: Any) -> Tensor:
    from worldsim.kernels.ring_attention import triton

    return triton.ring_attention(*given)


def _shape(q: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(q)


torch.library.impl("worldsim::ring_attention", "cpu", _on_cpu)
torch.library.impl("worldsim::ring_attention", "cuda", _by_triton)
torch.library.register_fake("worldsim::ring_attention", _shape)


def ring_attention(
    q: Tensor, keys: Tensor, values: Tensor, position: Tensor, *, num_splits: int | None = None, impl: str = "auto"
) -> Tensor:
    """Every token of the current frame attends to all tokens of all frames in the ring.

    Frame `p` is in slot `p % S`, so slot `s` has been written exactly if `s <= position`. Other slots are
    never read, so they may hold NaN. Not differentiable.

    Args:
        q: `(B, N, H, D)` contiguous, float32, bfloat16 or float16; `D` 16, 32, 64 or 128.
        keys, values: the ring `(B, S, N, G, D)` in the dtype of `q`, the current frame included; `H` a
            multiple of `G`.
        position: `(B,)` int64 on the device: index of the current frame of each row; -1 is an empty ring,
            whose result is 0.
        num_splits: number of parts into which the keys are split, to keep all multiprocessors busy. 1 gives
            the same bits on every GPU. By default it depends on the GPU and the size of the ring, but not on
            `position`, so that a captured CUDA graph stays valid. The reference ignores it.
        impl: "auto" (by device), "reference" or "triton".

    Returns:
        `(B, N, H, D)` contiguous, in the dtype of `q`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    check_ring(q, keys, values, position, (q.dtype,))
    if num_splits is not None and num_splits < 1:
        raise ValueError(f"num_splits was {num_splits}; give at least 1, or None to choose by the GPU.")
    if impl == "auto":
        return torch.ops.worldsim.ring_attention(q, keys, values, position, num_splits)
    run = _by_triton if choose(impl, q.device) == "triton" else _on_cpu
    return run(q, keys, values, position, num_splits)
