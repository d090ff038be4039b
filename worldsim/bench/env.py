"""`worldsim bench env`: imagined environment steps per second, as an agent pays for them: actions, ends and resets included."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from worldsim.bench.config import EnvConfig
from worldsim.bench.diamond import bench_diamond
from worldsim.bench.stream import PARTS, WARM_UP, format_machine, in_own_process, run, time_step
from worldsim.device import pick_device
from worldsim.envs.vector import DreamVectorEnv
from worldsim.machine import describe_machine, resident_bytes
from worldsim.tables import text_row
from worldsim.world import find_world


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        world: name, folder or Hub id.
        obs: "latent" or "pixels".
        batch: dreams at a time.
        mode: "eager" or "compiled".
        runtime: one of `RUNTIMES`.
        frames: steps measured.
        device: "auto", "cpu" or "cuda".
        threads: of torch; 0 leaves the number to it.
    """

    world: str
    obs: str
    batch: int
    mode: str
    runtime: str
    frames: int
    device: str
    threads: int


def bench_env(config: EnvConfig) -> dict[str, Any]:
    """Measures every combination of what is given, each in a process of its own, prints a table and returns it.

    Returns:
        "results": a dict per case, with its `machine`; times are milliseconds per step, of `batch` frames each. With
        `config.diamond`, "diamond" is a list of the same for its denoiser.

    Raises:
        WorldsimError: if the checkout is none.
        WorldError: if there is no such world, or no memory for so many dreams.
    """
    find_world(config.world)
    peer: dict[str, Any] = {}
    if config.diamond is not None:
        where, frames = pick_device(config.device).type, max(1, config.frames // 10)
        peer["diamond"] = bench_diamond(config.diamond, config.batch, frames=frames, device=where, threads=config.threads)
    results: list[dict[str, Any]] = []
    for kind, size, mode, runtime in itertools.product(config.obs, config.batch, config.modes, config.runtimes):
        case = Case(config.world, kind, size, mode, runtime, config.frames, config.device, config.threads)
        results.append(in_own_process(measure, case))
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
        runtime=case.runtime,
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
    times = run(step, case.frames)
    parts = np.array([time_step(env.world, case.obs == "pixels") for _ in range(case.frames)])
    figures = {
        **asdict(case),
        "runtime": env.world.runtime.name,
        "dtype": str(env.world.dtype).removeprefix("torch."),
        "device": str(env.world.device),
        "num_steps": env.world.num_steps,
        "seconds_to_ready": ready,
        "steps_per_second": case.batch * len(times) / times.sum(),
        "episodes_ended": ended,
        "milliseconds": {f"p{q}": float(np.percentile(times, q)) * 1e3 for q in (50, 95, 99)},
        "parts": dict(zip(PARTS, (1e3 * parts.mean(0)).tolist(), strict=True)),
        "resident_bytes": resident_bytes(),
        "machine": describe_machine(),
    }
    figures["parts"]["other"] = 1e3 * float(times.mean()) - sum(figures["parts"].values())
    return figures


def format_results(results: Sequence[dict[str, Any]], header: bool = True) -> str:
    """Results as aligned lines, after one about the machine and one of column titles; times are milliseconds per step."""
    lines = []
    if header and results:
        titles = ("obs", "batch", "mode", "runtime", "dtype", "steps/s", "p50 ms", "p95", "p99", *PARTS, "other", "ended")
        lines += [format_machine(results[0]["machine"]), text_row(titles, _widths(titles), left=())]
    for result in results:
        times = (*result["milliseconds"].values(), *result["parts"].values())
        cells = (
            result["obs"],
            result["batch"],
            result["mode"],
            result["runtime"],
            result["dtype"],
            f"{result['steps_per_second']:.1f}",
            *(f"{ms:.1f}" for ms in times),
            result["episodes_ended"],
        )
        lines.append(text_row([str(cell) for cell in cells], _widths(cells), left=()))
    return "\n".join(lines)


def _widths(cells: Sequence[object]) -> list[int]:
    """Wide enough for the longest name of a runtime, which stands fourth."""
    return [13 if i == 3 else 8 for i in range(len(cells))]
