"""Times functions on a GPU as CUDA graphs, so that launching costs as little as it does when streaming.

Cold: inputs come from memory, because a graph cycles through more sets of inputs than fit in the L2 cache.
Warm: the same inputs every time. What is compared is timed in turns, so that a change of the GPU's clock
affects all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Call = Callable[[], object]
CACHE = 256 << 20  # bytes, several times any L2 cache
CALLS = 20  # at least, in one graph: its launch then costs each of them little
MOST_SETS = 512


class Spread(NamedTuple):
    """Duration of a call in microseconds: median and 95th percentile."""

    median: float
    p95: float


class Limits(NamedTuple):
    """Measured peak rates of this GPU: bytes/s of a large copy, bf16 FLOP/s of a large matrix product."""

    bandwidth: float
    flops: float


def sets_for(bytes_each: float) -> int:
    """How many sets of inputs of this many bytes overflow the L2 cache."""
    return max(1, min(MOST_SETS, round(CACHE / max(bytes_each, 1))))


def capture(calls: Sequence[Call]) -> torch.cuda.CUDAGraph:
    """Captures one graph of all calls in order, after a run of each to warm up."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in (calls[0], calls[0], *calls):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph


def time_in_turns(implementations: Mapping[str, Sequence[Call]], rounds: int = 40) -> dict[str, Spread | str]:
    """Times the calls of each implementation, in turns; for one that fails, returns the error message."""
    graphs: dict[str, tuple[torch.cuda.CUDAGraph, int]] = {}
    results: dict[str, Spread | str] = {}
    for name, calls in implementations.items():
        calls = list(calls) * -(-CALLS // len(calls))
        try:
            graphs[name] = capture(calls), len(calls)
        except Exception as error:  # one that cannot run here must not end the benchmark
            results[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]
            torch.cuda.synchronize()
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(rounds):
        for name, (graph, count) in graphs.items():
            times[name].append(_time(graph) / count)
    return results | {name: Spread(*map(float, np.percentile(values[2:], (50, 95)))) for name, values in times.items()}


def measure_limits() -> Limits:
    """Measures this GPU."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    x, y = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.empty_like(a)
    times = time_in_turns({"copy": [lambda: b.copy_(a)], "product": [lambda: x @ y]}, rounds=12)
    copy, product = times["copy"], times["product"]
    assert isinstance(copy, Spread) and isinstance(product, Spread)
    return Limits(2 * a.numel() / copy.median * 1e6, 2 * 8192**3 / product.median * 1e6)


def bytes_of(tensors: Sequence[Tensor]) -> int:
    """Total size of the tensors in bytes."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def _time(graph: torch.cuda.CUDAGraph) -> float:
    """Duration of one replay in microseconds."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    graph.replay()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e3
