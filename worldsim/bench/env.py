"""`worldsim bench env`: imagined environment steps per second, as an agent pays for them: actions, ends and resets included."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.bench.diamond import bench_diamond
from worldsim.bench.stream import PARTS, WARM_UP, format_machine, in_own_process, run, time_parts
from worldsim.device import pick_device
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import WorldsimError
from worldsim.machine import describe_machine, resident_bytes


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        world: name, folder or Hub id.
        obs: "latent" or "pixels".
        batch: dreams at a time.
        mode: "eager" or "compiled".
        frames: steps measured.
        device: "auto", "cpu" or "cuda".
        threads: of torch; 0 leaves the number to it.
    """

    world: str
    obs: str
    batch: int
    mode: str
    frames: int
    device: str
    threads: int


def bench_env(
    world: str,
    *,
    batch: Sequence[int] = (1, 8, 32, 128),
    obs: Sequence[str] = ("latent", "pixels"),
    modes: Sequence[str] = ("eager",),
    frames: int = 60,
    device: str = "auto",
    threads: int = 0,
    diamond: Path | None = None,
) -> dict[str, Any]:
    """Measures every combination of what is given, each in a process of its own, prints a table and returns it.

    Args:
        world: name, folder or Hub id.
        batch: numbers of dreams at a time.
        obs: what agents see, "latent" or "pixels".
        modes: "eager" or "compiled" (takes a minute and a C++ compiler, each).
        frames: steps to measure, after the warm-up.
        device: "auto", "cpu" or "cuda".
        threads: of torch; 0 leaves the number to it.
        diamond: checkout of DIAMOND's code, whose denoiser is then timed in the same run; see `bench_diamond`.

    Returns:
        "results": a dict per case, with its `machine`; times are milliseconds per step, of `batch` frames each. With `diamond`,
        "diamond" is a list of the same for its denoiser.

    Raises:
        WorldsimError: if an argument is out of range, or the checkout is none.
        WorldError: if there is no such world, or no memory for so many dreams.
    """
    if min(batch, default=0) < 1 or frames < 1 or threads < 0:
        raise WorldsimError(f"batch, frames, threads were {batch}, {frames}, {threads}; give at least 1, 1, 0.")
    peer: dict[str, Any] = {}
    if diamond is not None:
        where = pick_device(device).type
        peer = {"diamond": bench_diamond(diamond, batch, frames=max(1, frames // 10), device=where, threads=threads)}
    results: list[dict[str, Any]] = []
    for kind, size, mode in itertools.product(obs, batch, modes):
        results.append(in_own_process(measure, Case(world, kind, size, mode, frames, device, threads)))
        print(format_results(results[-1:], header=len(results) == 1), flush=True)
    return {"results": results, **peer}


def measure(case: Case) -> dict[str, Any]:
    """Figures of one case, taken in this process."""
    if case.threads:
        torch.set_num_threads(case.threads)
    begun = time.perf_counter()
    env = DreamVectorEnv(
        case.world,
        case.batch,
        obs=case.obs,
        actions="flat",
        horizon="game",
        autoreset_mode="SameStep",
        device=case.device,
        compiled=case.mode == "compiled",
    )
    env.reset(seed=0)
    env.action_space.seed(0)
    ended = 0

    def step() -> None:
        nonlocal ended
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended += int((terminated | truncated).sum())

    run(step, WARM_UP)
    ready, ended = time.perf_counter() - begun, 0
    parts = time_parts(env.world)
    times = run(step, case.frames)
    figures = {
        **asdict(case),
        "dtype": str(env.world.dtype).removeprefix("torch."),
        "device": str(env.world.device),
        "num_steps": env.world.num_steps,
        "seconds_to_ready": ready,
        "steps_per_second": case.batch * len(times) / times.sum(),
        "episodes_ended": ended,
        "milliseconds": {f"p{q}": float(np.percentile(times, q)) * 1e3 for q in (50, 95, 99)},
        "parts": {name: 1e3 * parts[name] / case.frames for name in PARTS},
        "resident_bytes": resident_bytes(),
        "machine": describe_machine(),
    }
    figures["parts"]["other"] = 1e3 * float(times.mean()) - sum(figures["parts"].values())
    return figures


def format_results(results: Sequence[dict[str, Any]], header: bool = True) -> str:
    """Results as aligned lines, after one about the machine and one of column titles; times are milliseconds per step."""
    lines = []
    if header and results:
        titles = ("obs", "batch", "mode", "dtype", "steps/s", "p50 ms", "p95", "p99", *PARTS, "other", "ended")
        lines += [format_machine(results[0]["machine"]), "".join(title.rjust(10) for title in titles)]
    for result in results:
        times = (*result["milliseconds"].values(), *result["parts"].values())
        cells = (
            result["obs"],
            result["batch"],
            result["mode"],
            result["dtype"],
            f"{result['steps_per_second']:.1f}",
            *(f"{ms:.1f}" for ms in times),
        )
        lines.append("".join(str(cell).rjust(10) for cell in (*cells, result["episodes_ended"])))
    return "\n".join(lines)
