"""Every kernel compiles for every supported GPU, uses its tensor cores, spills no registers and fits.

No GPU is needed. Kernels are compiled in other processes, since the tests in this one interpret them.
"""

from __future__ import annotations

from itertools import repeat

import pytest

from worldsim.bench.kernels import compile_one, compilers, names_of
from worldsim.kernels.aot import EXPECTED, MODULES, SHARED_LIMITS

# The quick test compiles the first kernel whose name starts with each of these; for all architectures, or for one.
EVERYWHERE = (
    "forward_kernel bf16/fp32 D=64 COPIES=1",
    "key_grad_kernel bf16/fp32 D=64 COPIES=0 CAUSAL=True CLIPS=0",
    "ring_attention_kernel bf16/fp32 G=4 R=4 D=64 BLOCK_M=128",
)
SAMPLE = (
    *EVERYWHERE,
    "query_grad_kernel bf16/fp32 D=128 COPIES=0 CAUSAL=True CLIPS=32",
    "forward_kernel fp32 D=64",
    "backward_kernel bf16/fp32 W=1024",
    "ring_attention_kernel bf16/fp32 G=4 R=4 D=128 BLOCK_M=16",
    "merge_kernel bf16",
    "temporal_decode_kernel bf16/fp32/i8",
    "qkv_write_kernel bf16",
)


def check(arch: int, starts: tuple[str, ...] | None) -> None:
    with compilers() as pool:
        names = names_of(pool, arch)
        wanted = range(len(names)) if starts is None else [_first(names, start) for start in starts]
        rows = list(pool.map(compile_one, repeat(arch), repeat(MODULES), wanted))
    assert not {row["name"]: row["problems"] for row in rows if row["problems"]}
    assert all(16 <= row["registers"] <= 255 and row["shared"] <= SHARED_LIMITS[arch] for row in rows)
    newest = [row for row in rows if row["tensor_cores"] == EXPECTED[arch][0]]
    assert {row["name"].split()[0] for row in newest} >= {"forward_kernel", "key_grad_kernel", "ring_attention_kernel"}


def _first(names: list[str], start: str) -> int:
    return next(i for i, name in enumerate(names) if name.startswith(start))


@pytest.mark.parametrize("arch", SHARED_LIMITS)
def test_a_sample_compiles_and_fits(arch: int) -> None:
    check(arch, SAMPLE if arch == 90 else EVERYWHERE)


@pytest.mark.slow
@pytest.mark.parametrize("arch", SHARED_LIMITS)
def test_everything_compiles_and_fits(arch: int) -> None:
    check(arch, None)
