"""What may be given to a batch of worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.device import DTYPES, free_bytes
from worldsim.errors import WorldError, check_int, shown

LARGEST_SEED = 2**64 - 1

Seed = int | Sequence[int | None] | NDArray[Any] | None
Rows = Sequence[int] | NDArray[Any] | None


def check_seeds(seed: Seed, rows: Sequence[int]) -> list[int | None]:
    """One seed, or None, for each of `rows`: of one whole number `seed + row`, of several those.

    Raises:
        WorldError: if a seed is not a whole number from 0 to 2**64 - 1, or there are not as many as rows.
    """
    if seed is None:
        return [None] * len(rows)
    if isinstance(seed, np.ndarray) and seed.ndim == 1:
        seed = list(seed)
    if isinstance(seed, Sequence) and not isinstance(seed, str | bytes):
        seeds = list(seed)
    else:
        first = check_int("seed", seed, 0, LARGEST_SEED, WorldError)
        seeds = [first + row for row in rows]
    if len(seeds) != len(rows):
        raise WorldError(f"{len(seeds)} seeds for {len(rows)} worlds; give one seed, or one per world.")
    return [None if value is None else check_int("seed", value, 0, LARGEST_SEED, WorldError) for value in seeds]


def check_rows(rows: Rows, batch: int) -> list[int]:
    """The rows chosen of a batch; all where `rows` is None.

    Raises:
        WorldError: if a row does not exist, or is given twice.
    """
    if rows is None:
        return list(range(batch))
    if isinstance(rows, str | bytes) or not isinstance(rows, Sequence | np.ndarray) or np.ndim(rows) != 1:
        raise WorldError(f"rows was {shown(rows)}; give a sequence of row numbers from 0 to {batch - 1}.")
    chosen = [check_int("row", row, 0, batch - 1, WorldError) for row in rows]
    if len(set(chosen)) < len(chosen):
        raise WorldError(f"rows was {shown(chosen)}; give every row once.")
    return chosen


def check_dtype(dtype: torch.dtype | None) -> None:
    """Raises `WorldError` unless worlds compute in `dtype`."""
    if dtype is not None and dtype not in DTYPES.values():
        raise WorldError(f"dtype was {shown(dtype)}; allowed: torch.float32, torch.bfloat16, or None for the faster one here.")


def check_started(started: NDArray[np.bool_], call: str) -> None:
    """Raises `WorldError` if there is a world that was not reset before `call`."""
    if not started.all():
        raise WorldError(f"{call}() before reset(); call reset(seed=...) first.")


def check_memory(batch: int, each: int, device: torch.device) -> None:
    """Raises `WorldError` if `batch` worlds of `each` bytes do not fit into what a device has free."""
    free = free_bytes(device)
    if free is not None and batch * each > free:
        raise WorldError(
            f"{batch} worlds need about {batch * each / 2**30:.1f} GiB, and {device.type} has {free / 2**30:.1f} GiB free; "
            f"at most {free // each} fit."
        )


def check_starts(starts: Tensor, controls: Tensor, window: int, latent: tuple[int, ...], size: int) -> None:
    """Raises `WorldError` unless start contexts are `(S, window, *latent)`, and their controls `(S, window, size)`."""
    given, count = (tuple(starts.shape), tuple(controls.shape)), max(1, len(starts))
    wanted = (count, window, *latent), (count, window, size)
    if given != wanted:
        raise WorldError(f"starts and start_controls have shapes {given}; give {wanted}.")
