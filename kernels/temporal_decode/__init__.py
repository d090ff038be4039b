"""Attention of every token of one frame to the same token of past frames."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS
from worldsim.kernels.choose import choose
from worldsim.kernels.ring_attention.checks import QUANTIZED, check_ring, check_scales
from worldsim.kernels.temporal_decode import reference

__all__ = ["temporal_decode"]

torch.library.define(
    "worldsim::temporal_decode",
    "(Tensor q, Tensor keys, Tensor values, Tensor position, Tensor? key_scale, Tensor? value_scale) -> Tensor",
)


def _on_cpu(
    q: Tensor, keys: Tensor, values: Tensor, position: Tensor, key_scale: Tensor | None, value_scale: Tensor | None
) -> Tensor:
    return reference.temporal_decode(q, keys, values, position, key_scale, value_scale)


def _by_triton(
    q: Tensor, keys: Tensor, values: Tensor, position: Tensor, key_scale: Tensor | None, value_scale: Tensor | None
) -> Tensor:
    from worldsim.kernels.temporal_decode import triton

    return triton.temporal_decode(q, keys, values, position, key_scale, value_scale)


def _shape(
    q: Tensor, keys: Tensor, values: Tensor, position: Tensor, key_scale: Tensor | None, value_scale: Tensor | None
) -> Tensor:
    return torch.empty_like(q)


torch.library.impl("worldsim::temporal_decode", "cpu", _on_cpu)
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
    """Token `n` of the frame now imagined attends to token `n` of all slots written so far.

    Which slots those are, see `worldsim.kernels.ring_attention.ring_attention`. Not differentiable.

    Args:
        q: `(B, N, H, D)` contiguous, float32, bfloat16 or float16; `D` 16, 32, 64 or 128.
        keys, values: the ring `(B, S, N, G, D)`, the current frame included; of any float dtype above, or int8 or float8_e4m3fn.
        position: `(B,)` int64 on the device: index of the frame now imagined, per row; -1 sees nothing and gives 0.
        key_scale, value_scale: `(B, S, N, G)` float32, by which int8 and float8 rings are multiplied.
        impl: "auto" (by device), "reference" or "triton".

    Returns:
        `(B, N, H, D)` contiguous, in the dtype of `q`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    check_ring(q, keys, values, position, (*FLOATS, *QUANTIZED))
    check_scales(keys, key_scale, value_scale)
    if impl == "auto":
        return torch.ops.worldsim.temporal_decode(q, keys, values, position, key_scale, value_scale)
    run = _by_triton if choose(impl, q.device) == "triton" else _on_cpu
    return run(q, keys, values, position, key_scale, value_scale)
