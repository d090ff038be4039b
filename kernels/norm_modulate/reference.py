"""The adaLN step in plain PyTorch: the definition of the op, and what runs on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def norm_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None, gate: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """See `worldsim.kernels.norm_modulate.norm_modulate`."""
    residual = x if branch is None or gate is None else torch.addcmul(x, gate, branch)
    return residual, torch.addcmul(shift, residual * inverse_rms(residual, eps), 1 + scale)


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """`1 / sqrt(mean(x**2) + eps)` over the last axis, `(..., 1)`, in the dtype of `x`.

    Three times as fast as `F.rms_norm` on a CPU.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # sums in float32
    wide = norm.to(torch.promote_types(x.dtype, torch.float32))
    return (wide.square() / x.shape[-1] + eps).rsqrt().to(x.dtype)
