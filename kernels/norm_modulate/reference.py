"""The adaLN step in plain torch: the definition, and the CPU path."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def norm_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None, gate: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """See `worldsim.kernels.norm_modulate.norm_modulate`."""
    residual = x if branch is None or gate is None else x + gate * branch
    return residual, F.rms_norm(residual, (x.shape[-1],), None, eps) * (1 + scale) + shift
