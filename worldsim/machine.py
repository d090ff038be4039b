"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

NOTED = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # instruction sets that decide how fast bf16 is


def describe_machine() -> dict[str, Any]:
    """Processor, cores this process may use, instruction sets and limits put on them, and versions; ready for JSON."""
    flags = cpu_instructions()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": [flag for flag in NOTED if flag in flags],
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "default"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def resident_bytes() -> int | None:
    """Memory this process holds now, where the system tells (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_instructions() -> frozenset[str]:
    """Instruction sets of the processor as Linux names them, such as "avx2"; empty where the system does not list them.

    Those that `ONEDNN_MAX_CPU_ISA` keeps oneDNN from using, with which PyTorch and OpenVINO compute, are left out.
    """
    known = frozenset((_cpuinfo("flags") or _cpuinfo("Features")).split())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    beyond: tuple[str, ...] = ()
    if limit.startswith(("SSE", "AVX2")) or limit == "AVX":
        beyond = ("avx512", "amx")
    elif limit in ("AVX512_CORE", "AVX512_CORE_VNNI"):
        beyond = ("avx512_bf16", "avx512_fp16", "amx")
    elif limit.startswith(("AVX512", "AVX10")) and not limit.endswith("AMX"):
        beyond = ("amx",)
    return frozenset(name for name in known if not name.startswith(beyond)) if beyond else known


def _cpuinfo(name: str) -> str:
    """First value of that name in /proc/cpuinfo, or nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
