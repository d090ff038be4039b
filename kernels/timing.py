"""How long things take on a GPU: under CUDA graphs, so that launches cost what they cost when streaming.

Cold means that inputs come from memory: a graph goes round as many sets of inputs as overflow the L2 cache. Warm means the
same inputs again and again. What is compared is timed in turns, so that a clock that changes does so for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Call = Callable[[], object]
CACHE = 256 << 20  # bytes, several times any L2 cache
CALLS = 20  # at least so many in one graph, whose own launch is spread over them
MOST_SETS = 512


class Spread(NamedTuple):
    """Microseconds a call takes."""

    median: float
    p95: float


class Limits(NamedTuple):
    """What this GPU reaches: bytes a second in a large copy, and bf16 FLOP a second in a large matrix product."""

    bandwidth: float
    flops: float


def sets_for(bytes_each: float) -> int:
    """How many sets of inputs of so many bytes overflow the L2 cache."""
    return max(1, min(MOST_SETS, round(CACHE / max(bytes_each, 1))))


def capture(calls: Sequence[Call]) -> torch.cuda.CUDAGraph:
    """One graph of all calls in turn, each run before it is captured."""
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


def race(contenders: Mapping[str, Sequence[Call]], rounds: int = 40) -> dict[str, Spread | str]:
    """Times each contender's calls, in turns; of one that fails, why."""
    graphs: dict[str, tuple[torch.cuda.CUDAGraph, int]] = {}
    results: dict[str, Spread | str] = {}
    for name, calls in contenders.items():
        calls = list(calls) * -(-CALLS // len(calls))
        try:
            graphs[name] = capture(calls), len(calls)
        except Exception as error:  # a rival that cannot run here must not end the run
            results[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]
            torch.cuda.synchronize()
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(rounds):
        for name, (graph, count) in graphs.items():
            times[name].append(_time(graph) / count)
    return results | {name: Spread(*map(float, np.percentile(values[2:], (50, 95)))) for name, values in times.items()}


def measure_limits() -> Limits:
    """Of this GPU, as it is now."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    x, y = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.empty_like(a)
    times = race({"copy": [lambda: b.copy_(a)], "product": [lambda: x @ y]}, rounds=12)
    copy, product = times["copy"], times["product"]
    assert isinstance(copy, Spread) and isinstance(product, Spread)
    return Limits(2 * a.numel() / copy.median * 1e6, 2 * 8192**3 / product.median * 1e6)


def bytes_of(tensors: Sequence[Tensor]) -> int:
    """Memory of all of them."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def _time(graph: torch.cuda.CUDAGraph) -> float:
    """Microseconds of one replay."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    graph.replay()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e3
