"""`worldsim bench stream`: what an imagined frame costs, as a player or an agent pays it.

A step is everything that a frame costs: imagining it, decoding it and writing it to the ring. Every case runs in a process of its
own, so that compiled code, thread pools and memory of one do not touch another.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.bench.config import SPAN, StreamConfig
from worldsim.device import pick_device
from worldsim.machine import describe_machine, resident_bytes
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.presets import find_stream
from worldsim.tables import text_row
from worldsim.world import World, find_world
from worldsim.world.config import WorldConfig
from worldsim.worlds import shipped_worlds

T = TypeVar("T")
DTYPES: dict[str, torch.dtype | None] = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16}
# Limits that make this machine compute as one without its newest instructions would.
LIMITS: dict[str, dict[str, str]] = {
    "default": {},
    "avx512_core_bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
WARM_UP = 10
PARTS = ("imagine", "decode")  # imagining begins with writing the frame before into the context


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        world: name, folder or Hub id; or sizes, of random weights.
        batch: worlds at a time.
        mode: "eager" or "compiled".
        runtime: one of `RUNTIMES`.
        dtype: one of `DTYPES`.
        isa: one of `LIMITS`.
        frames: steps measured.
        long: steps of the constancy test; 0 for none.
        device: "auto", "cpu" or "cuda".
        threads: of torch; 0 leaves the number to it.
    """

    world: str | WorldConfig
    batch: int
    mode: str
    runtime: str
    dtype: str
    isa: str
    frames: int
    long: int
    device: str
    threads: int


def bench_stream(config: StreamConfig) -> dict[str, Any]:
    """Measures every combination of what is given, prints a table and returns it.

    Returns:
        "results": a dict per case, with its `machine`; times are milliseconds per step, of `batch` frames each. On a GPU also the
        kernels it runs per step.

    Raises:
        WorldsimError: if there is no such preset.
        WorldError: if there is no such world.
    """
    shipped = [] if config.preset else shipped_worlds()
    chosen: list[str | WorldConfig] = [*(config.worlds or shipped), *map(find_stream, config.preset)]
    for name in config.worlds:
        find_world(name)
    cases = [
        Case(world, size, mode, runtime, dtype, limit, config.frames, config.long, config.device, config.threads)
        for world, limit, dtype, mode, size, runtime in itertools.product(
            chosen, config.isa, config.dtypes, config.modes, config.batch, config.runtimes
        )
    ]
    results = []
    for case in cases:
        results.append(in_own_process(measure, case, case.isa))
        print(format_results(results[-1:], header=len(results) == 1), flush=True)
    return {"results": results}


def in_own_process(function: Callable[[T], dict[str, Any]], case: T, isa: str = "default") -> dict[str, Any]:
    """`function(case)`, run in a process of its own under the limits of `isa`."""
    with _environment(LIMITS[isa]), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, case).result()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These variables, for processes started meanwhile."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(case: Case) -> dict[str, Any]:
    """Figures of one case, taken in this process."""
    if case.threads:
        torch.set_num_threads(case.threads)
    begun = time.perf_counter()
    options: dict[str, Any] = {"batch": case.batch, "device": case.device, "dtype": DTYPES[case.dtype]}
    options |= {"compiled": case.mode == "compiled", "runtime": case.runtime}
    world = World.load(case.world, **options) if isinstance(case.world, str) else untrained_world(case.world, **options)
    world.reset(seed=0)

    def step() -> None:
        time_step(world)

    run(step, WARM_UP)
    ready = time.perf_counter() - begun
    parts = np.array([time_step(world) for _ in range(case.frames)])
    times = parts.sum(1)
    figures = {
        **asdict(case),
        "world": case.world if isinstance(case.world, str) else case.world.name,
        "runtime": world.runtime.name,
        "dtype": str(world.dtype).removeprefix("torch."),
        "device": str(world.device),
        "num_steps": world.num_steps,
        "seconds_to_ready": ready,
        "frames_per_second": case.batch * len(times) / times.sum(),
        "milliseconds": {f"p{q}": float(np.percentile(times, q)) * 1e3 for q in (50, 95, 99)},
        "parts": dict(zip(PARTS, (1e3 * parts.mean(0)).tolist(), strict=True)),
        "machine": describe_machine(),
    }
    if world.device.type == "cuda":
        figures["launches_per_frame"] = count_launches(step)
    return figures | ({"constancy": constancy(step, case.long)} if case.long else {})


def untrained_world(config: WorldConfig, **options: Any) -> World:
    """A world of these sizes with random weights, made where it runs. `options` are those of `World`."""
    with pick_device(options["device"]):
        tokenizer, dynamics = Tokenizer(config.tokenizer), DiT(config.dynamics)
        model, grid = config.dynamics, config.tokenizer.grid(config.height, config.width)
        starts = torch.randn(1, model.window, *grid, model.latent_channels)
        return World(config, tokenizer, dynamics, starts, torch.zeros(1, model.window, model.controls), **options)


def count_launches(step: Callable[[], None], steps: int = 4) -> float:
    """Kernels that a step runs on the GPU, copies and those inside captured graphs included."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run(step, steps)
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events() or ()) / steps


def constancy(step: Callable[[], None], steps: int) -> dict[str, Any]:
    """Median milliseconds of the first and the last thousand of `steps`, and the memory gained in between."""
    first = run(step, SPAN)
    before = resident_bytes()
    run(step, steps - 2 * SPAN)
    last = run(step, SPAN)
    after = resident_bytes()
    gained = None if before is None or after is None else (after - before) / 2**20
    return {"first": float(np.median(first)) * 1e3, "last": float(np.median(last)) * 1e3, "mebibytes_gained": gained}


def run(step: Callable[[], None], count: int) -> NDArray[np.float64]:
    """Seconds that each of `count` steps takes."""
    marks = [time.perf_counter()]
    for _ in range(count):
        step()
        marks.append(time.perf_counter())
    return np.diff(marks)


def time_step(world: World, pixels: bool = True) -> tuple[float, float]:
    """Imagines and decodes (unless not `pixels`) one frame of every row; the seconds that each of `PARTS` takes."""
    still = world.control_spec.to_vectors(world.control_spec.neutral(), world.batch)
    marks = [time.perf_counter()]

    def mark() -> None:
        _synchronize(world.device)
        marks.append(time.perf_counter())

    latents, *_ = world.imagine(still)
    mark()
    if pixels:
        world.decode(latents).cpu()
    mark()
    imagine, decode = np.diff(marks).tolist()
    return imagine, decode


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


COLUMNS = ("world", "batch", "runtime", "dtype", "mode", "isa", "frames/s", "p50 ms", "p95", "p99", *PARTS)


def format_machine(about: dict[str, Any]) -> str:
    """One line about where figures were measured."""
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads, {' '.join(about['instructions'])}; "
        f"ONEDNN_MAX_CPU_ISA {about['onednn_max_cpu_isa']}; torch {about['torch']}"
        + (f"; {about['gpu']}" if about["gpu"] else "")
    )


def format_results(results: Sequence[dict[str, Any]], header: bool = True) -> str:
    """Results as aligned lines, after one about the machine and one of column titles; times are milliseconds per step."""
    lines = []
    if header and results:
        lines += [format_machine(results[0]["machine"]), _line(COLUMNS)]
    for result in results:
        times = (*result["milliseconds"].values(), *result["parts"].values())
        named = (str(result[name]) for name in ("world", "batch", "runtime", "dtype", "mode", "isa"))
        lines.append(_line((*named, f"{result['frames_per_second']:.1f}", *(f"{ms:.1f}" for ms in times))))
        if "launches_per_frame" in result:
            lines.append(f"  {result['launches_per_frame']:.0f} kernels a frame")
        if "constancy" in result:
            long = result["constancy"]
            gained = "unknown" if long["mebibytes_gained"] is None else f"{long['mebibytes_gained']:+.1f} MiB"
            lines.append(
                f"  {result['long']} steps: median of the first {SPAN} {long['first']:.2f} ms, "
                f"of the last {SPAN} {long['last']:.2f} ms; memory {gained}"
            )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return text_row(cells, (24, 5, 13, 8, 8, 16, 8, *[7] * (len(COLUMNS) - 7)), left=(0, 2, 3, 4, 5))
