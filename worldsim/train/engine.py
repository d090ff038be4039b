"""How processes share a training step: each takes some of its batches, and all get the mean of their gradients.

The batches of a run have an order, 0, 1, 2, ..., that does not depend on the number of processes. A step takes the next few;
so 1, 2 and 4 processes train on the same windows with the same noise, up to the rounding of sums. Small models are kept whole
in every process (DistributedDataParallel, Li et al. 2020, arXiv:2006.15704). Of large ones each process keeps a share of all
weights, gradients, averages and optimizer states (FSDP2, Zhao et al. 2023, arXiv:2304.11277).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.device import compute_dtype
from worldsim.train import distributed

Losses = dict[str, Tensor]
BUFFERS = "forward_sync_buffers"  # of DistributedDataParallel, as torch 2.13 calls it
METHODS = ("encode", "decode")  # of a tokenizer, which is not called as a whole
UNITS = ("attention", "enter", "leave")  # of a block; its modulation is computed before all blocks


class Engine:
    """Runs the batches of a step and leaves their mean gradient in the model.

    Args:
        model: trained; sharded in place where asked for.
        losses: `losses(i)` runs batch `i` forward and returns named scalars; "loss" is minimised.
        sharded: whether each process keeps a share of the model, instead of all of it.
    """

    def __init__(self, model: nn.Module, losses: Callable[[int], Losses], sharded: bool = False):
        self._ddp: Any = None
        self._run: Callable[[int], Losses] = _Step(model, losses)
        if sharded:
            shard(model)
        elif distributed.count() > 1:
            from torch.nn.parallel import DistributedDataParallel  # imported where it is needed, as FSDP2 is: both take long

            # Which weights a batch uses may differ: codewords are shown in some, prompts given in others.
            known = signature(DistributedDataParallel).parameters
            buffers: dict[str, Any] = {BUFFERS if BUFFERS in known else "broadcast_buffers": False}
            self._ddp = DistributedDataParallel(self._run, find_unused_parameters=True, gradient_as_bucket_view=True, **buffers)
            self._run = self._ddp

    def backward(self, first: int, batches: int) -> Losses:
        """Gradients of the mean loss of batches `first`, ..., `first + batches - 1`.

        Returns:
            Sums of the losses of this process's batches; `mean` makes them those of the step.
        """
        sums: Losses = {}
        share = shares(batches, distributed.count(), distributed.rank())
        for i, offset in enumerate(share):
            counts = offset < batches
            with self._accumulating(i + 1 < len(share)):
                parts = self._run(first + min(offset, batches - 1))
                (parts["loss"] * (distributed.count() / batches if counts else 0.0)).backward()
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value.detach() * counts
        return sums

    def mean(self, sums: Losses, batches: int) -> dict[str, float]:
        """Mean losses of a step over the batches of all processes."""
        local = torch.stack([value.float() for value in sums.values()]).tolist()
        return dict(zip(sums, (value / batches for value in distributed.total(local)), strict=True))

    def _accumulating(self, more: bool) -> AbstractContextManager:
        """Gradients are exchanged with the last batch. Sharded ones are each time, since nobody has room for whole ones."""
        return self._ddp.no_sync() if more and self._ddp is not None else nullcontext()


class _Step(nn.Module):
    """The forward pass of a batch by its number, as one module that DistributedDataParallel can wrap."""

    def __init__(self, model: nn.Module, losses: Callable[[int], Losses]):
        super().__init__()
        self.model, self.losses = model, losses

    def forward(self, i: int) -> Losses:
        return {name: value if name == "loss" else value.detach() for name, value in self.losses(i).items()}


def shares(batches: int, processes: int, rank: int) -> range:
    """Which batches of a step a process takes: as many as any other, so some may lie past the end and do not count."""
    return range(rank, processes * math.ceil(batches / processes), processes)


def shard(model: nn.Module) -> None:
    """Leaves each process its share of every weight of `model`; blocks are put together one at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (distributed.count(),))
    bf16 = device.type == "cuda" and compute_dtype(device) == torch.bfloat16
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if bf16 else MixedPrecisionPolicy()
    for block in getattr(model, "blocks", ()):
        fully_shard([getattr(block, name) for name in UNITS], mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for name in METHODS:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view", UserWarning)  # which nobody writes to


class Average:
    """Exponential moving average of a model's weights; of a sharded model each process keeps its share.

    Args:
        model: before it is sharded.

    Attributes:
        module: of a model that is not sharded, the averaged one; otherwise made whole by `whole`, on the CPU.
    """

    def __init__(self, model: nn.Module, sharded: bool = False):
        self.module = copy.deepcopy(model).requires_grad_(False)
        self._shards = copy.deepcopy(self.module) if sharded else self.module
        if sharded:
            self.module.cpu()
            shard(self._shards)

    def update(self, model: nn.Module, decay: float) -> None:
        """Moves the average toward the model's weights."""
        update_average(self._shards, model, decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and buffers by name, sharded as the model's are."""
        return self._shards.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._shards.load_state_dict(state)

    @torch.no_grad()
    def whole(self) -> nn.Module:
        """The averaged model. All processes have to ask for a sharded one."""
        if self._shards is not self.module:
            for mine, share in zip(self.module.parameters(), self._shards.parameters(), strict=True):
                mine.copy_(whole(share))
        return self.module


def whole(value: Tensor) -> Tensor:
    """A tensor of which each process has a share, put together; others as they are."""
    return value.full_tensor() if is_share(value) else value  # type: ignore[attr-defined]


def local(values: Iterable[Tensor]) -> list[Tensor]:
    """This process's shares, or what is not sharded as it is."""
    return [value.to_local() if is_share(value) else value for value in values]  # type: ignore[attr-defined]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights toward the model's."""
    torch._foreach_lerp_(local(average.parameters()), local(model.parameters()), 1 - decay)


def is_share(value: Tensor) -> bool:
    """Whether a tensor is spread over the processes (a DTensor)."""
    return hasattr(value, "full_tensor")
