"""What may be given as seeds and rows of a batch of worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
