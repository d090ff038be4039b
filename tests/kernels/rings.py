"""Random rings for tests: every slot that was not written holds NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def poison() -> Iterator[None]:
    """Fills memory with NaN when it is allocated."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


class Shape(NamedTuple):
    """Slots, tokens per frame, heads, key heads and head size."""

    slots: int
    tokens: int
    heads: int
    groups: int
    size: int


class Case(NamedTuple):
    q: Tensor
    keys: Tensor
    values: Tensor
    position: Tensor


def written(position: int, slots: int) -> list[int]:
    """The slots that hold a frame when frame `position` is the current one."""
    return sorted({frame % slots for frame in range(position + 1)})


def draw(shape: Shape, positions: Sequence[int], dtype: torch.dtype, seed: int = 0) -> Case:
    """Random queries and rings, with one position for each batch row, on the device under test."""
    generator = torch.Generator().manual_seed(seed)
    slots, tokens, heads, groups, size = shape
    q = torch.randn(len(positions), tokens, heads, size, generator=generator)
    ring = torch.randn(2, len(positions), slots, tokens, groups, size, generator=generator)
    for b, position in enumerate(positions):
        unwritten = sorted(set(range(slots)) - set(written(position, slots)))
        ring[:, b, unwritten] = math.nan
    keys, values = ring.to(DEVICE, dtype)
    return Case(q.to(DEVICE, dtype), keys, values, torch.tensor(positions, dtype=torch.int64, device=DEVICE))


ROUNDINGS = 16  # more than any op does between input and result; the backward pass of `norm_modulate` does about 12


def close(found: Tensor, exact: Tensor, baseline: Tensor) -> None:
    """Asserts that `found` errs at most twice as much as `baseline`, and little relative to the signal.

    Both in the same dtype. With few values, `baseline` can be exact by chance. So an error of `ROUNDINGS` is
    always allowed: each rounding adds up to `eps / 2` times the largest result. Float32 sums add 1e-6 of it.
    """
    largest, eps = exact.abs().max(), torch.finfo(found.dtype).eps
    error, expected = (found.double() - exact).abs().max(), (baseline.double() - exact).abs().max()
    interpreted = found.dtype == torch.bfloat16 and DEVICE == "cpu"  # where values are truncated to bfloat16, not rounded
    roundings = ROUNDINGS * (eps if interpreted else eps / 2)
    assert not found.isnan().any()
    assert error <= torch.maximum(2 * expected, (roundings + 1e-6) * largest)
    assert (found.double() - exact).square().mean() <= max(0.005, 2 * eps) ** 2 * exact.square().mean()
