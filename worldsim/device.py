"""Where to compute, and how fast that is."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from worldsim.errors import WorldsimError


def pick_device(name: str = "auto") -> torch.device:
    """ "auto" (CUDA where present), "cpu" or "cuda".

    Raises:
        WorldsimError: if CUDA is asked for and absent, or the name is unknown.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise WorldsimError(f"device was {name!r}; allowed: auto, cpu, cuda.")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise WorldsimError("device was 'cuda', but torch sees no GPU; use --device cpu, or install a CUDA build of torch.")
    return torch.device(name)


@lru_cache
def fast_dtype(device: torch.device) -> torch.dtype:
    """The faster of bfloat16 and float32 for small matrix products here. On a CPU it is timed, since bf16 can be very slow."""
    if device.type != "cpu":
        return torch.bfloat16
    times = {dtype: _time_linear(256, 256, 1024, device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return min(times, key=lambda dtype: times[dtype])


@lru_cache
def matmul_rate(device: torch.device) -> float:
    """Measured bf16 matrix rate in FLOP/s, at a transformer's training shape."""
    rows, width = 8192, 1024
    return 2 * rows * width * width / _time_linear(rows, width, width, device, torch.bfloat16)


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be had on a device, where the system tells (CUDA, Linux)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)


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
