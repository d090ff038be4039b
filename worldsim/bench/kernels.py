"""`worldsim bench kernels`: what the ops of the model cost beside those of PyTorch, and what they ask of a GPU.

The first needs a GPU; the second is read from compiled code and needs none.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import datetime, timezone
from multiprocessing import get_context
from typing import Any

import torch

from worldsim.bench.config import KernelsConfig
from worldsim.errors import WorldsimError
from worldsim.kernels import timing
from worldsim.kernels.aot import MODULES, SHARED_LIMITS, compile_case, shipped
from worldsim.kernels.choose import HAS_TRITON
from worldsim.machine import describe_machine

ARCHITECTURES = {f"sm_{arch}": arch for arch in SHARED_LIMITS}


def compile_kernels(config: KernelsConfig) -> dict[str, Any]:
    """Compiles every kernel as it ships, prints what each asks of a GPU and returns it; no such GPU need be there.

    Returns:
        "kernels": a dict for each, see `worldsim.kernels.aot.Figures`, with its "problems".

    Raises:
        WorldsimError: if Triton is not installed.
    """
    if not HAS_TRITON:
        raise WorldsimError("compiling needs Triton, which is not installed; pip install triton (Linux).")
    modules = tuple(module for module in MODULES if module.split(".")[0] in config.ops)
    rows = []
    print(f"{'arch':8}{'registers':>10}{'stack':>7}{'spilled':>9}{'shared':>8}  {'tensor cores':18}kernel")
    with compilers() as pool:
        jobs = []
        for wanted in (ARCHITECTURES[name] for name in config.arch):
            jobs += [(wanted, modules, index) for index in range(len(names_of(pool, wanted, modules)))]
        for row in pool.map(compile_one, *zip(*jobs, strict=True)):
            print(format_demands(row), flush=True)
            rows.append(row)
    wrong = sum(bool(row["problems"]) for row in rows)
    print(f"{len(rows)} kernels, {wrong or 'none'} with problems")
    return {"kernels": rows}


def format_demands(row: dict[str, Any]) -> str:
    """One kernel's line of the table."""
    cells = f"{row['registers']:10}{row['stack']:7}{row['local']:9}{row['shared']:8}  {row['tensor_cores']:18}"
    return f"sm_{row['arch']:<5}{cells}{row['name']}" + "".join(f"  !! {problem}" for problem in row["problems"])


def compilers() -> ProcessPoolExecutor:
    """Processes, one a core, in which Triton compiles even if it interprets in this one."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_compile_for_real)


def _compile_for_real() -> None:
    os.environ.pop("TRITON_INTERPRET", None)


def names_of(pool: ProcessPoolExecutor, arch: int, modules: tuple[str, ...] = MODULES) -> list[str]:
    """Names of everything that ships for an architecture, in the order of `compile_one`."""
    return pool.submit(_names, arch, modules).result()


def _names(arch: int, modules: tuple[str, ...]) -> list[str]:
    return [case.name for case in shipped(arch, modules)]


def compile_one(arch: int, modules: tuple[str, ...], index: int) -> dict[str, Any]:
    """Figures of one kernel, and its "problems". To be called in one of `compilers`."""
    figures = compile_case(list(shipped(arch, modules))[index], arch)
    return {**asdict(figures), "problems": figures.problems}


def bench_kernels(config: KernelsConfig) -> dict[str, Any]:
    """Times every op and what it is compared with on this machine's GPU, prints a table and returns it.

    Returns:
        "results": a dict per op, size and implementation, of microseconds with inputs in memory ("cold") and in cache ("warm");
        "limits", "machine", "date", "driver", "commit".

    Raises:
        WorldsimError: if there is no GPU.
    """
    if not torch.cuda.is_available():
        raise WorldsimError(
            "bench kernels needs a CUDA GPU, and torch sees none; --compile-only works anywhere, --arch names the GPU."
        )
    from worldsim.kernels.comparisons import grid

    limits, results = timing.measure_limits(), []
    about = {"machine": describe_machine(), **describe_run(), "limits": limits._asdict()}
    print(format_about(about), HEADER, sep="\n", flush=True)
    for make in grid():
        torch.compiler.reset()
        comparison = make()
        if comparison.op in config.ops:
            rows = measure(comparison, limits, config.rounds)
            print(*map(format_row, rows), sep="\n", flush=True)
            results += rows
        torch.cuda.empty_cache()
    return {**about, "results": results}


def measure(comparison: Any, limits: timing.Limits, rounds: int) -> list[dict[str, Any]]:
    """Figures of one op at one size; see `bench_kernels`."""
    first = comparison.draw()
    sets = [first, *(comparison.draw() for _ in range(timing.sets_for(timing.bytes_of(first)) - 1))]
    least = 1e6 * max(comparison.flops / limits.flops, comparison.traffic / limits.bandwidth)
    spreads = []
    for inputs in (sets, sets[:1]):
        calls = {name: [_bind(run, given) for given in inputs] for name, run in comparison.implementations.items()}
        spreads.append(timing.time_in_turns(calls, rounds))
    rows = []
    for name in comparison.implementations:
        row: dict[str, Any] = {"op": comparison.op, "size": comparison.size, "implementation": name}
        for kind, spread in zip(("cold", "warm"), (found[name] for found in spreads), strict=True):
            row[kind] = {"error": spread} if isinstance(spread, str) else spread._asdict()
        if "median" in row["cold"]:
            row["roofline"] = least / row["cold"]["median"]
        rows.append(row)
    return rows


def _bind(run: Any, given: Sequence[torch.Tensor]) -> timing.Call:
    return lambda: run(*given)


def describe_run() -> dict[str, str]:
    """When, with which driver and at which commit this runs; "unknown" where the machine does not say."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "driver": _ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "commit": _ask("git", "describe", "--always", "--dirty"),
    }


def _ask(*command: str) -> str:
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        lines = []
    return lines[0] if lines else "unknown"


HEADER = f"{'op':17}{'size':46}{'implementation':25}{'cold us':>9}{'p95':>8}{'warm us':>9}{'p95':>8}{'roofline':>10}"


def format_about(about: dict[str, Any]) -> str:
    """One line on where and when."""
    limits = about["limits"]
    return (
        f"{about['machine']['gpu']}, driver {about['driver']}, torch {about['machine']['torch']}, commit {about['commit']}, "
        f"{about['date']}; copies {limits['bandwidth'] / 1e12:.2f} TB/s, multiplies {limits['flops'] / 1e12:.0f} TFLOP/s"
    )


def format_row(row: dict[str, Any]) -> str:
    """One line of the table."""
    cells = []
    for kind in ("cold", "warm"):
        if "error" in row[kind]:
            return f"{row['op']:17}{row['size']:46}{row['implementation']:25}{row[kind]['error']}"
        cells.append(f"{row[kind]['median']:9.1f}{row[kind]['p95']:8.1f}")
    return f"{row['op']:17}{row['size']:46}{row['implementation']:25}{''.join(cells)}{row['roofline']:10.0%}"
