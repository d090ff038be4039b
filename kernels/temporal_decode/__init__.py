"""Attention of every token of one frame to the tokens at the same position of past frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS
from worldsim.kernels.choose import choose
from worldsim.kernels.ring_attention.checks import check_ring, check_scales
from worldsim.kernels.temporal_decode import reference

__all__ = ["temporal_decode"]

torch.library.define(
    "worldsim::temporal_decode",
    "(Tensor q, Tensor keys, Tensor values, Tensor position, Tensor? key_scale, Tensor? value_scale) -> Tensor",
)


def _by_triton(*given: Any) -> Tensor:
    from worldsim.kernels.temporal_decode import triton

    return triton.temporal_decode(*given)


def _shape(q: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(q)


torch.library.impl("worldsim::temporal_decode", "cpu", reference.temporal_decode)
torch.library.impl("worldsim::temporal_decode", "cuda", _by_triton)
torch.library.register_fake("worldsim::temporal_decode", _shape)


def temporal_decode(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    *,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    impl: str = "auto",
) -> Tensor:
    """Token `n` of the current frame attends to token `n` of all frames in the ring.

    Which slots hold frames: see `worldsim.kernels.ring_attention.ring_attention`. Not differentiable.

    Args:
        q: `(B, N, H, D)` contiguous, float32, bfloat16 or float16; `D` 16, 32, 64 or 128.
        keys, values: the ring `(B, S, N, G, D)`, the current frame included; int8 or one of the dtypes above.
        position: `(B,)` int64 on the device: index of the current frame of each row; -1 is an empty ring,
            whose result is 0.
        key_scale, value_scale: `(B, S, N, G)` float32, for int8 rings only: the scale by which the integers
            are multiplied.
        impl: "auto" (by device), "reference" or "triton".

    Returns:
        `(B, N, H, D)` contiguous, in the dtype of `q`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    check_ring(q, keys, values, position, (*FLOATS, torch.int8))
    check_scales(keys, key_scale, value_scale)
    if impl == "auto":
        return torch.ops.worldsim.temporal_decode(q, keys, values, position, key_scale, value_scale)
    run = _by_triton if choose(impl, q.device) == "triton" else reference.temporal_decode
    return run(q, keys, values, position, key_scale, value_scale)
