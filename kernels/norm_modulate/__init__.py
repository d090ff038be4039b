"""The adaLN step between two sublayers: gated residual addition, RMS norm, scale and shift."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS, check_layout
from worldsim.kernels.choose import choose
from worldsim.kernels.norm_modulate import reference

__all__ = ["norm_modulate"]

MAX_WIDTH = 4096  # what one program of the backward pass can hold

torch.library.define(
    "worldsim::norm_modulate_forward",
    "(Tensor x, Tensor shift, Tensor scale, Tensor? branch, Tensor? gate, float eps) -> (Tensor, Tensor)",
)
torch.library.define(
    "worldsim::norm_modulate_backward",
    "(Tensor? residual_grad, Tensor grad, Tensor residual, Tensor scale, Tensor? branch, Tensor? gate, float eps) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)


def _forward(*given: Any) -> tuple[Tensor, Tensor]:
    from worldsim.kernels.norm_modulate import triton

    return triton.forward(*given)


def _backward(*given: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    from worldsim.kernels.norm_modulate import triton

    return triton.backward(*given)


def _forward_shapes(x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(0 if branch is None else x.shape), x.new_empty(x.shape)


def _backward_shapes(
    residual_grad: Tensor | None, grad: Tensor, residual: Tensor, scale: Tensor, branch: Tensor | None, *_: Any
) -> tuple[Tensor, ...]:
    tokens, frames = residual.shape, scale.shape
    gated = ((0,), (0,)) if branch is None else (tokens, frames)
    return tuple(residual.new_empty(shape) for shape in (tokens, frames, frames, *gated))


torch.library.impl("worldsim::norm_modulate_forward", ("cpu", "cuda"), _forward)
torch.library.impl("worldsim::norm_modulate_backward", ("cpu", "cuda"), _backward)
torch.library.register_fake("worldsim::norm_modulate_forward", _forward_shapes)
torch.library.register_fake("worldsim::norm_modulate_backward", _backward_shapes)


class _Modulate(torch.autograd.Function):
    """The op without a branch; the residual is the input itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
        ctx.eps = eps
        ctx.save_for_backward(x, scale)
        return torch.ops.worldsim.norm_modulate_forward(x, shift, scale, None, None, eps)[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        backward = torch.ops.worldsim.norm_modulate_backward
        found = backward(None, grads[0].contiguous(), *ctx.saved_tensors, None, None, ctx.eps)
        return (*found[:3], None)


class _GateModulate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor, gate: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        residual, out = torch.ops.worldsim.norm_modulate_forward(x, shift, scale, branch, gate, eps)
        ctx.eps = eps
        ctx.save_for_backward(residual, scale, branch, gate)
        return residual, out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        backward = torch.ops.worldsim.norm_modulate_backward
        return (*backward(*(grad.contiguous() for grad in grads), *ctx.saved_tensors, ctx.eps), None)


def norm_modulate(
    x: Tensor,
    shift: Tensor,
    scale: Tensor,
    branch: Tensor | None = None,
    gate: Tensor | None = None,
    *,
    eps: float = 1e-6,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """`residual = x + gate * branch` and `out = rms_norm(residual) * (1 + scale) + shift`.

    Differentiable once.

    Args:
        x: `(B, T, N, W)` contiguous, float32, bfloat16 or float16; `W` at most 4096.
        shift, scale: `(B, T, 1, W)` in the dtype of `x`, one vector for each frame; may be slices of one
            projection.
        branch: output of the last sublayer, shape and dtype of `x`; None before the first, where the residual
            is `x` itself.
        gate: shape and dtype of `shift`; required with `branch`, and only then.
        eps: added to the mean square in the norm.
        impl: "auto" (by device), "reference" or "triton".

    Returns:
        residual, out: both with the shape and dtype of `x`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    _check(x, shift, scale, branch, gate)
    if choose(impl, x.device) == "reference":
        return reference.norm_modulate(x, shift, scale, branch, gate, eps)
    if branch is None:
        return x, _Modulate.apply(x, shift, scale, eps)
    return _GateModulate.apply(x, shift, scale, branch, gate, eps)


def _check(x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None, gate: Tensor | None) -> None:
    if x.ndim != 4 or 0 in x.shape or x.shape[-1] > MAX_WIDTH:
        raise ValueError(f"x has shape {tuple(x.shape)}; it must be (B, T, N, W), without an empty axis, W at most {MAX_WIDTH}.")
    check_layout("x", x, x.shape, FLOATS, x.device)
    if (branch is None) != (gate is None):
        raise ValueError(f"gate was {'missing' if gate is None else 'given'}; it goes with branch: give both or neither.")
    batch, frames, _, width = x.shape
    for name, given in (("shift", shift), ("scale", scale), ("gate", gate)):
        if given is not None:
            check_layout(name, given, (batch, frames, 1, width), (x.dtype,), x.device, inner=1)
    if branch is not None:
        check_layout("branch", branch, x.shape, (x.dtype,), x.device)
