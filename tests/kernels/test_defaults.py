"""Global defaults of PyTorch (dtype and device) do not change what an op computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from worldsim.kernels.frame_attention import frame_attention
from worldsim.kernels.norm_modulate import norm_modulate
from worldsim.kernels.qkv_write import qkv_write
from worldsim.kernels.qkv_write.reference import quantize
from worldsim.kernels.ring_attention import ring_attention
from worldsim.kernels.temporal_decode import temporal_decode

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float32)


Q, K, V = normal(2, 12, 4, 16), normal(2, 12, 2, 16), normal(2, 12, 2, 16)
OFFSETS = torch.tensor([0, 6, 10], dtype=torch.int32)
QUERIES, KEYS, VALUES = normal(3, 5, 4, 16), normal(3, 4, 5, 2, 16), normal(3, 4, 5, 2, 16)
POSITION = torch.tensor([-1, 1, 9], dtype=torch.int64)
X, BRANCH, SHIFT, SCALE, GATE = normal(2, 3, 5, 32), normal(2, 3, 5, 32), *normal(3, 2, 3, 1, 32)
QKV, WEIGHTS, ANGLES = normal(3, 5, 8 * 16), normal(2, 16), normal(2, 3, 5, 8)


def write() -> tuple[Tensor, ...]:
    (cos, sin), keys, values = ANGLES, KEYS.clone(), VALUES.clone()
    return qkv_write(QKV, WEIGHTS[0], WEIGHTS[1], cos, sin, keys, values, POSITION.clamp(min=0)), keys, values


def write_int8() -> tuple[Tensor, ...]:
    (keys, key_scale), (values, value_scale), (cos, sin) = quantize(KEYS), quantize(VALUES), ANGLES
    given = (QKV, WEIGHTS[0], WEIGHTS[1], cos, sin, keys, values, POSITION.clamp(min=0))
    return qkv_write(*given, key_scale=key_scale, value_scale=value_scale), keys, values, key_scale, value_scale


def decode_int8() -> Tensor:
    (keys, key_scale), (values, value_scale) = quantize(KEYS), quantize(VALUES)
    return temporal_decode(QUERIES, keys, values, POSITION, key_scale=key_scale, value_scale=value_scale)


CALLS: dict[str, Callable[[], Tensor | tuple[Tensor, ...]]] = {
    "frame_attention": lambda: frame_attention(Q, K, V, 3, window=2),
    "frame_attention bidirectional": lambda: frame_attention(Q, K, V, 3, causal=False),
    "frame_attention packed": lambda: frame_attention(Q[:1], K[:1], V[:1], 2, cu_seqlens=OFFSETS),
    "norm_modulate": lambda: norm_modulate(X, SHIFT, SCALE),
    "norm_modulate gated": lambda: norm_modulate(X, SHIFT, SCALE, BRANCH, GATE),
    "ring_attention": lambda: ring_attention(QUERIES, KEYS, VALUES, POSITION),
    "temporal_decode": lambda: temporal_decode(QUERIES, KEYS, VALUES, POSITION),
    "temporal_decode int8": decode_int8,
    "qkv_write": write,
    "qkv_write int8": write_int8,
}


@contextmanager
def other_defaults() -> Iterator[None]:
    """float64, and a device on which nothing can be computed."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def as_list(made: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [made] if isinstance(made, Tensor) else list(made)


@pytest.mark.parametrize("name", CALLS)
def test_an_op_gives_the_same_bits_under_other_defaults(name: str) -> None:
    expected = as_list(CALLS[name]())
    with other_defaults():
        found = as_list(CALLS[name]())
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
