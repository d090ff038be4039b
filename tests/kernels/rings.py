"""Rings for the tests of the ops on them: every slot that was not written holds NaN."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")
else:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without which poison() forbids matrix products


@contextmanager
def poison() -> Iterator[None]:
    """Meanwhile, memory that is allocated but not yet written holds NaN."""
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


def written(age: int, slots: int, sinks: int = 0) -> list[int]:
    """The slots that hold a frame when frame `age` is the newest."""
    return sorted({p if p < sinks else sinks + (p - sinks) % (slots - sinks) for p in range(age + 1)})


def draw(shape: Shape, ages: Sequence[int], dtype: torch.dtype, sinks: int = 0, seed: int = 0) -> Case:
    """Random queries and rings whose rows are at these ages, on the device under test."""
    generator = torch.Generator().manual_seed(seed)
    slots, tokens, heads, groups, size = shape
    q = torch.randn(len(ages), tokens, heads, size, generator=generator)
    ring = torch.randn(2, len(ages), slots, tokens, groups, size, generator=generator)
    for b, age in enumerate(ages):
        unwritten = sorted(set(range(slots)) - set(written(age, slots, sinks)))
        ring[:, b, unwritten] = math.nan
    keys, values = ring.to(DEVICE, dtype)
    return Case(q.to(DEVICE, dtype), keys, values, torch.tensor(ages, device=DEVICE))


ROUNDINGS = 16  # at most so many between inputs and a result; the backward pass of `norm_modulate` needs the most


def close(found: Tensor, exact: Tensor, rival: Tensor) -> None:
    """Asserts that `found` errs at most twice as much as `rival` in the same dtype, and little as a share of the signal.

    Of few numbers `rival` may round all by luck the right way. So what `ROUNDINGS` can add up to is always allowed: each errs by
    up to `eps / 2` of a term about as large as the largest result. Sums in float32 err by another 1e-6 of it.
    """
    largest, eps = exact.abs().max(), torch.finfo(found.dtype).eps
    error, expected = (found.double() - exact).abs().max(), (rival.double() - exact).abs().max()
    interpreted = found.dtype == torch.bfloat16 and DEVICE == "cpu"  # where numbers are cut to bfloat16, not rounded
    roundings = ROUNDINGS * (eps if interpreted else eps / 2)
    assert not found.isnan().any()
    assert error <= torch.maximum(2 * expected, (roundings + 1e-6) * largest)
    assert (found.double() - exact).square().mean() <= max(0.005, 2 * eps) ** 2 * exact.square().mean()
