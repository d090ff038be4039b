"""Compiles kernels for GPUs that this machine need not have, and reads their resource usage.

Triton's wheel contains the compiler and a disassembler, so a machine without a GPU can check that every
kernel compiles, uses tensor cores where it should, spills no registers and fits into shared memory. Not under
TRITON_INTERPRET=1.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

# Architecture -> bytes of shared memory that one thread block can use: A100, H100 and H200, B200.
SHARED_LIMITS = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}
MODULES = (
    "frame_attention.triton",
    "norm_modulate.triton",
    "ring_attention.triton",
    "ring_attention.merge",
    "temporal_decode.triton",
    "qkv_write.triton",
)
TENSOR_CORES = ("wgmma.mma_async", "tcgen05.mma", "mma.sync")  # instructions in PTX
# Which of them a kernel should use; the newer ones need at least 64 rows.
EXPECTED = {80: ("mma.sync",), 90: ("wgmma.mma_async", "mma.sync"), 100: ("tcgen05.mma", "mma.sync")}
MULTIPLYING = ("forward_kernel", "query_grad_kernel", "key_grad_kernel", "ring_attention_kernel")


class Case(NamedTuple):
    """One variant of a kernel; `shipped(major compute capability)` of each of `MODULES` yields them.

    Attributes:
        kernel: the function that `triton.jit` returned.
        types: types of the arguments that are not constants: "*bf16" (aligned to 16 bytes), "i32", or
            "i32:16" (divisible by 16).
        constants: values of the other arguments.
        options: "num_warps" and "num_stages".
    """

    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    options: Mapping[str, int]

    @property
    def name(self) -> str:
        """The kernel's name, its pointer types and its constants, on one line."""
        pointers = {kind.lstrip("*") for kind in self.types.values() if kind.startswith("*")} - {"i32", "i64"}
        constants = (f"{name}={value}" for name, value in self.constants.items() if value is not None)
        return " ".join((self.kernel.__name__, "/".join(sorted(pointers)), *constants))


@dataclass(frozen=True)
class Figures:
    """Resource usage of a compiled kernel.

    Attributes:
        name: name of the variant, see `Case.name`.
        arch: compute capability, such as 90.
        registers: registers of a thread.
        stack: stack of a thread, in bytes.
        local: local memory of a thread, in bytes: spilled registers.
        shared: shared memory of a thread block, in bytes.
        tensor_cores: the instruction that multiplies matrices, "" if there is none.
    """

    name: str
    arch: int
    registers: int
    stack: int
    local: int
    shared: int
    tensor_cores: str

    @property
    def problems(self) -> list[str]:
        """What is wrong: spilled registers, too much shared memory, matrix products without tensor cores."""
        found = [f"spills (stack {self.stack}, local {self.local} bytes)"] if self.stack or self.local else []
        if self.shared > SHARED_LIMITS[self.arch]:
            found.append(f"{self.shared} bytes of shared memory, of {SHARED_LIMITS[self.arch]}")
        if self.name.split()[0] in MULTIPLYING and "PRECISION=tf32" in self.name and self.tensor_cores not in EXPECTED[self.arch]:
            found.append(f"multiplies by {self.tensor_cores or 'no tensor cores'}, not {' or '.join(EXPECTED[self.arch])}")
        return found


def shipped(arch: int, modules: tuple[str, ...] = MODULES) -> Iterator[Case]:
    """Every kernel that may be launched on this architecture."""
    for module in modules:
        yield from (Case(*case) for case in import_module(f"worldsim.kernels.{module}").shipped(arch // 10))


def compile_case(case: Case, arch: int) -> Figures:
    """Compiles for `arch` (one of `SHARED_LIMITS`). Errors of the compiler pass through."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = case.kernel.arg_names
    types = {name: case.types.get(name, "constexpr") for name in names}
    aligned = [name for name, kind in types.items() if kind.startswith("*") or kind.endswith(":16")]
    hints = {(names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = ASTSource(case.kernel, {name: kind.removesuffix(":16") for name, kind in types.items()}, dict(case.constants), hints)
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=dict(case.options))
    usage = _resource_usage(compiled.asm["cubin"])
    instruction = next((name for name in TENSOR_CORES if name in compiled.asm["ptx"]), "")
    return Figures(case.name, arch, usage["REG"], usage["STACK"], usage["LOCAL"], compiled.metadata.shared, instruction)


def _resource_usage(cubin: bytes) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        run = subprocess.run([_cuobjdump(), "--dump-resource-usage", str(path)], capture_output=True, text=True, check=True)
    return {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", run.stdout)}


@cache
def _cuobjdump() -> str:
    import triton

    return str(Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump")
