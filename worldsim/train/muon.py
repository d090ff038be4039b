"""Muon (Jordan et al. 2024): momentum whose update of a matrix has all its singular values near 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldsim.train.engine import is_share, local

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration, from the authors
ITERATIONS = 5
RMS = 0.2  # of an update's entries at a learning rate of 1, as AdamW's (Liu et al. 2025, arXiv:2502.16982, section 2.2)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay; matrices of one shape are updated in one batch.

    Args:
        matrices: parameters of two dimensions.
        lr: learning rate, on AdamW's scale.
        momentum: share of the average of past gradients that is kept.
        weight_decay: share of a weight that a step at learning rate 1 takes away.
        dtype: that updates are computed in.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ):
        self.dtype = dtype
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates every matrix that has a gradient.

        Of matrices that are sharded by rows, each process updates its rows; see `orthogonalize_shards`.
        """
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in alike.items():
                own, gradients = local(parameters), local(cast(Tensor, parameter.grad) for parameter in parameters)
                averages = local(self._average(parameter) for parameter in parameters)
                torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
                x = torch.stack(torch._foreach_lerp(gradients, averages, group["momentum"]))
                sharded = is_share(parameters[0])
                updates = orthogonalize_shards(x, shape[0], self.dtype) if sharded else orthogonalize(x, self.dtype)
                torch._foreach_mul_(own, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(own, list(updates), alpha=-group["lr"] * RMS * max(shape) ** 0.5)

    def _average(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def sent_bytes(optimizer: Muon) -> int:
    """Bytes that this process sends to others in a step, for matrices that are sharded."""
    sharded = [p for group in optimizer.param_groups for p in group["params"] if is_share(p)]
    if not sharded:
        return 0
    processes = dist.get_world_size()
    own = sum(p.numel() for p in sharded) / processes
    return round(2 * own * (processes - 1) / processes * optimizer.dtype.itemsize)


def orthogonalize_shards(x: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """`orthogonalize` of matrices of which every process has some rows.

    Each process gets an equal share of the matrices whole, updates them, and sends the rows back: as much work as if each had
    1 / processes of the matrices, and twice the size of its rows to send, in `dtype`. (Gathering everything everywhere would
    repeat all the work in each process.)

    Args:
        x: this process's rows of `K` matrices `(K, r, n)`; the first processes have `ceil(rows / processes)` each.
        rows: of a whole matrix.
        dtype: to compute and send in.

    Returns:
        This process's rows of the updates `(K, r, n)`.
    """
    processes, (count, own, width) = dist.get_world_size(), x.shape
    most, share = -(-rows // processes), -(-count // processes)
    padded = x.new_zeros(share * processes, most, width, dtype=dtype)
    padded[:count, :own] = x
    sent = padded.view(processes, share, most, width)
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)  # dimension 0: to whom, then from whom, which is which rows
    whole = received.transpose(0, 1).reshape(share, processes * most, width)
    whole[:, :rows] = orthogonalize(whole[:, :rows], dtype)
    sent = whole.view(share, processes, most, width).transpose(0, 1).contiguous()
    returned = torch.empty_like(sent)
    dist.all_to_all_single(returned, sent)
    return returned.view(share * processes, most, width)[:count, :own].to(x.dtype)


def orthogonalize(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices `(K, m, n)` with about the same singular vectors and singular values near 1: Newton-Schulz in `dtype`.

    One is `x <- (a + b A + c A^2) x` with `A = x x^T`.
    """
    if x.shape[1] > x.shape[2]:
        return orthogonalize(x.mT, dtype).mT
    scaled = (x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)).to(dtype)
    return (_iterate_gram(scaled) if dtype == torch.float32 else _iterate(scaled)).to(x.dtype)


def _iterate(x: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _iterate_gram(x: Tensor) -> Tensor:
    """The same with half the operations for matrices three times as wide as high, but more rounding.

    Each iteration multiplies `x` by a polynomial of the first `A`, and so do all of them: they run on matrices `(m, m)`, and `x`
    is multiplied once at the end.
    """
    a, b, c = COEFFICIENTS
    gram = product = x @ x.mT
    for i in range(ITERATIONS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor @ product if i else factor
        if i + 1 < ITERATIONS:
            gram = factor @ gram @ factor
    return product @ x
