"""Where to compute, and how fast that is."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from worldsim.errors import WorldsimError, shown
from worldsim.machine import cpu_instructions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FAST_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}  # "bf16" is ARM's


def _compute_alone() -> None:
    """For a forked child, in which torch would wait for ever for the threads of its parent."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_alone)


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name: "auto" (CUDA where present), "cpu", "cuda" or one GPU of several, such as
    "cuda:1".

    Raises:
        WorldsimError: if CUDA is asked for and absent, or the name is unknown.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if re.fullmatch(r"cpu|cuda(:\d{1,3})?", str(name)) is None:
        raise WorldsimError(f"device was {shown(name)}; allowed: auto, cpu, cuda, or one GPU of several, such as cuda:1.")
    device, count = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= count):
        raise WorldsimError(
            f"device was {shown(name)}, but torch sees {count} GPUs; use --device cpu, or install a CUDA build of torch."
        )
    return device


def compute_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """What to compute in, in training and in play.

    Args:
        device: where.
        wanted: "float32", "bfloat16", or "auto" for the faster of them. On a CPU that depends on its
            instructions alone, so that a busy machine decides as an idle one; only where the system does not
            list them, it is timed, once a process.

    Raises:
        WorldsimError: if the name is unknown.
    """
    if wanted != "auto":
        if wanted not in DTYPES:
            raise WorldsimError(f"dtype was {shown(wanted)}; allowed: auto, {', '.join(DTYPES)}.")
        return DTYPES[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    instructions = cpu_instructions()
    if instructions:
        return torch.bfloat16 if instructions & FAST_BF16 else torch.float32
    return _timed_dtype(device)


def autocast(device: torch.device, wanted: str = "auto") -> torch.autocast:
    """A context in which matrix products run in `compute_dtype`, whose weights are float32."""
    dtype = compute_dtype(device, wanted)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


@lru_cache
def matmul_rate(device: torch.device, wanted: str = "auto") -> float:
    """Measured matrix rate in FLOP/s, in `compute_dtype`, at a transformer's training shape."""
    rows, width = 8192, 1024
    return 2 * rows * width * width / _time_linear(rows, width, width, device, compute_dtype(device, wanted))


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be had on a device, where the system tells (CUDA, Linux)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)


@lru_cache
def _timed_dtype(device: torch.device) -> torch.dtype:
    """The faster dtype for matrix products of a small transformer; float32 unless the other is clearly
    faster.
    """
    seconds = {dtype: _time_linear(2048, 256, 1024, device, dtype) for dtype in DTYPES.values()}
    return torch.bfloat16 if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else torch.float32


def _time_linear(rows: int, inputs: int, outputs: int, device: torch.device, dtype: torch.dtype) -> float:
    """Best of ten timings of one linear layer, in seconds."""
    x = torch.randn(rows, inputs, device=device, dtype=dtype)
    weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        begun = time.perf_counter()
        F.linear(x, weight)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best
