from __future__ import annotations

from typing import Any

import pytest
import torch

from worldsim import device, machine
from worldsim.device import autocast, compute_dtype, matmul_rate
from worldsim.errors import WorldsimError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ({"avx2"}, torch.float32),
        ({"avx512f", "avx512_vnni"}, torch.float32),
        ({"avx512f", "avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16", "amx_tile"}, torch.bfloat16),
        ({"asimd", "bf16"}, torch.bfloat16),
    ],
)
def test_the_processor_decides_the_dtype(instructions: set[str], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_instructions", lambda: frozenset(instructions))
    monkeypatch.setattr(device, "_time_linear", lambda *_: pytest.fail("timed, though the instructions are known"))
    assert compute_dtype(CPU) == expected
    with autocast(CPU):
        made = torch.ones(2, 2, device=CPU) @ torch.ones(2, 2, device=CPU)
    assert made.dtype == expected


@pytest.mark.parametrize(("ratio", "expected"), [(0.5, torch.bfloat16), (0.95, torch.float32), (3.0, torch.float32)])
def test_without_a_list_of_instructions_it_is_timed(ratio: float, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_instructions", frozenset)
    monkeypatch.setattr(device, "_time_linear", lambda *given: ratio if given[-1] == torch.bfloat16 else 1.0)
    device._timed_dtype.cache_clear()
    try:
        assert compute_dtype(CPU) == expected
    finally:
        device._timed_dtype.cache_clear()


def test_an_argument_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[torch.dtype] = []

    def time_linear(*given: Any) -> float:
        timed.append(given[-1])
        return 1.0

    monkeypatch.setattr(device, "_time_linear", time_linear)
    matmul_rate.cache_clear()
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        assert compute_dtype(CPU, name) == dtype
        matmul_rate(CPU, name)
        assert timed[-1] == dtype
    matmul_rate.cache_clear()
    with pytest.raises(WorldsimError, match=r"dtype was 'float16'; allowed: auto, float32, bfloat16\."):
        compute_dtype(CPU, "float16")


def test_instructions_are_those_of_cpuinfo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpuinfo", lambda name: "asimd bf16" if name == "Features" else "")
    assert machine.cpu_instructions() == {"asimd", "bf16"}


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        ("", {"avx2", "avx512f", "avx512_bf16", "amx_tile"}),
        ("DEFAULT", {"avx2", "avx512f", "avx512_bf16", "amx_tile"}),
        ("AVX2", {"avx2"}),
        ("avx512_core", {"avx2", "avx512f"}),
        ("AVX512_CORE_BF16", {"avx2", "avx512f", "avx512_bf16"}),
        ("AVX512_CORE_AMX", {"avx2", "avx512f", "avx512_bf16", "amx_tile"}),
    ],
)
def test_instructions_that_onednn_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch, limit: str, left: set[str]) -> None:
    monkeypatch.setattr(machine, "_cpuinfo", lambda name: "avx2 avx512f avx512_bf16 amx_tile" if name == "flags" else "")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert machine.cpu_instructions() == left
