"""The processes that train one model together, as torchrun starts them: which one this is, and what they tell each other.

Everything here works in a single process too, where there is nobody to wait for. Messages go between CPUs (gloo), gradients
between GPUs where there are some (NCCL).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from worldsim.device import pick_device
from worldsim.errors import WorldsimError

T = TypeVar("T")
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process
PATIENCE = timedelta(hours=24)  # others calibrate and encode meanwhile; who dies is noticed by a broken connection, not by this


@contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that torchrun started, if it started this one; inside another `joined`, nothing happens.

    Raises:
        WorldsimError: if the others cannot be reached.
    """
    if expected() == 1 or _is_joined():
        yield
        return
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise WorldsimError(f"the other processes cannot be reached at {where} ({_first_line(error)}).") from error
    yield
    wait()
    if torch.cuda.is_available():  # not after an error: the others may be in the middle of something, and would be waited for
        dist.destroy_process_group()


def expected() -> int:
    """Number of processes that torchrun started, 1 if it did not start this one."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in NEEDED) else 1


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process makes and trains models for itself, as others may do at the same time."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


_alone = False


def count() -> int:
    """Number of processes, 1 where this one trains alone."""
    return dist.get_world_size() if _is_joined() and not _alone else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _is_joined() and not _alone else 0


def is_main() -> bool:
    """Whether this is the process that prints, and writes worlds, pictures and logs."""
    return rank() == 0


def local_device(name: str) -> torch.device:
    """The device of this process: as `pick_device`, but of several GPUs each process of a machine gets its own.

    Raises:
        WorldsimError: if there is no such device, or a machine has fewer GPUs than processes.
    """
    device = pick_device(name)
    if count() == 1 or device.type != "cuda":
        return device
    if device.index is not None:
        raise WorldsimError(f"device was '{name}'; with {count()} processes give cuda, and each takes a GPU of its own.")
    mine, there = int(os.environ.get("LOCAL_RANK", rank())), torch.cuda.device_count()
    if mine >= there:
        raise WorldsimError(f"this machine has {there} GPUs; start at most so many processes on it, or give --device cpu.")
    torch.cuda.set_device(mine)
    return torch.device("cuda", mine)


def wait() -> None:
    """Returns when every process has come here."""
    if count() > 1:
        dist.all_reduce(torch.zeros(1, dtype=torch.float32, device="cpu"))


def agree(values: Sequence[float]) -> list[float]:
    """The first process's numbers, in all processes."""
    if count() == 1:
        return [float(value) for value in values]
    told = torch.tensor(values, dtype=torch.float64, device="cpu")
    dist.broadcast(told, 0)
    return told.tolist()


def tell(value: T) -> T:
    """The first process's object, in all processes."""
    if count() == 1:
        return value
    told: list[Any] = [value]
    dist.broadcast_object_list(told, 0, device=torch.device("cpu"))
    return told[0]


def total(values: Sequence[float]) -> list[float]:
    """Sums over all processes, element by element."""
    summed = torch.tensor(values, dtype=torch.float64, device="cpu")
    if count() > 1:
        dist.all_reduce(summed)
    return summed.tolist()


def main_first(work: Callable[[], T]) -> T:
    """Does work that leaves its result on disk: in the first process, then in the others, which find it there."""
    if not is_main():
        wait()
    result = work()
    if is_main():
        wait()
    return result


@torch.no_grad()
def equalize(module: nn.Module) -> None:
    """Gives a module the first process's weights and buffers."""
    if count() > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, 0)


def is_lost(error: BaseException) -> bool:
    """Whether an error only says that another process is gone; what happened there is what matters."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL", "Connection", "TCPStore"))


def _is_joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
