"""What a training step costs: frames per second, share of the machine's matrix rate, and where the rest of the time goes."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from worldsim.bench.config import TrainStepsConfig
from worldsim.device import autocast, compute_dtype, matmul_rate, pick_device
from worldsim.machine import describe_machine
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.presets import find_preset
from worldsim.tables import text_table
from worldsim.train import dynamics
from worldsim.train.config import TokenizerStage, TrainConfig
from worldsim.train.loop import Loop, Losses
from worldsim.train.store import Windows
from worldsim.train.tokenizer import tokenizer_loss

CONTROLS = 4  # of a game that is not there
_ATEN = ("mm", "bmm", "addmm", "baddbmm", "convolution", "mkldnn_convolution", "convolution_backward")
PRODUCTS = tuple(f"aten::{name}" for name in _ATEN)


@dataclass(frozen=True)
class Row:
    """What a step of one stage costs.

    Attributes:
        stage: "tokenizer" or "dynamics".
        images: images, or frames of context, per step.
        seconds: of a step, median.
        cpu_seconds: of all threads of this process in a step, median; less disturbed by other programs.
        gflops: billions of operations in matrix products and convolutions per second.
        share: of the machine's measured matrix rate.
        parts: shares of a step by where the time goes: "products", "optimizers", and "rest".
    """

    stage: str
    images: int
    seconds: float
    cpu_seconds: float
    gflops: float
    share: float
    parts: dict[str, float]


def bench_train(config: TrainStepsConfig) -> dict[str, Any]:
    """Measures training steps of a preset, prints a table and returns it.

    Returns:
        "results": a dict per stage, see `Row`; "dtype" and "machine".

    Raises:
        WorldsimError: if there is no such preset or device.
    """
    preset, where, stages = find_preset(config.preset), pick_device(config.device), config.stages
    with tempfile.TemporaryDirectory() as folder:
        loops = {name: training_loop(name, preset, config.size, where, config.compile, Path(folder)) for name in stages}
        counts = {name: _count(training_loop(name, preset, config.size, where, False, Path(folder))) for name in stages}
        for loop in loops.values():
            for _ in range(loop.config.compile_steps):
                loop.train_step()
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in stages}
        for _ in range(config.steps):
            for name, loop in loops.items():
                times[name].append(_time(loop, where))
        results = [_row(name, loop, times[name], counts[name], where) for name, loop in loops.items()]
    cells = []
    for row in results:
        parts = [f"{share:.0%}" for share in (row.share, *row.parts.values())]
        cells.append([row.stage, f"{row.images / row.seconds:.0f}", f"{1e3 * row.seconds:.0f}", f"{row.gflops:.0f}", *parts])
    print(text_table(("stage", "frames/s", "ms", "GFLOP/s", "of peak", "products", "optimizers", "rest"), cells))
    dtype = str(compute_dtype(where)).removeprefix("torch.")
    return {"results": [asdict(row) for row in results], "dtype": dtype, "machine": describe_machine()}


def time_steps(stage: str, config: TrainConfig, size: tuple[int, int], device: torch.device, steps: int = 2) -> float:
    """Seconds of a training step on random data, uncompiled: the fastest of some.

    Args:
        stage: "tokenizer" or "dynamics".
        config: what is trained.
        size: `(H, W)` of the frames.
        device: where.
        steps: to time, after a first one.
    """
    with tempfile.TemporaryDirectory() as folder:
        loop = training_loop(stage, config, size, device, False, Path(folder))
        loop.train_step()
        return min(_time(loop, device)[0] for _ in range(steps))


def training_loop(
    name: str, config: TrainConfig, size: tuple[int, int], device: torch.device, compiled: bool, folder: Path
) -> Loop:
    """A stage's loop on random data."""
    if name == "tokenizer":
        return _tokenizer_loop(config.tokenizer, size, device, compiled, folder)
    return _dynamics_loop(config, config.tokenizer.model.grid(*size), device, compiled, folder)


def _tokenizer_loop(stage: TokenizerStage, size: tuple[int, int], device: torch.device, compiled: bool, folder: Path) -> Loop:
    model = Tokenizer(stage.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = torch.compile(tokenizer_loss, dynamic=False) if compiled else tokenizer_loss
    dtype = compute_dtype(device)
    frames = torch.randint(0, 256, (stage.batch, *size, 3), dtype=torch.uint8, device=device)
    images = to_images(frames, dtype)
    noise = torch.zeros(stage.batch, *stage.model.grid(*size), stage.model.latent_channels, dtype=dtype, device=device)

    def losses(step: int) -> Losses:
        with autocast(device):
            return {"loss": loss_of(model, images, noise, stage.objective)[0]}

    return Loop(model, losses, stage.loop, folder, math.inf, name="tokenizer", images=stage.batch)


def _dynamics_loop(config: TrainConfig, grid: tuple[int, int], device: torch.device, compiled: bool, folder: Path) -> Loop:
    stage, channels = config.dynamics, config.tokenizer.model.latent_channels
    model = DiT(replace(stage.model, controls=CONTROLS, latent_channels=channels)).to(device)
    net = cast(DiT, torch.compile(model, dynamic=False)) if compiled else model
    shape = (stage.batch, stage.frames)
    model.codebook.normal_()

    def losses(step: int) -> Losses:
        windows = Windows(
            latents=torch.randn(*shape, *grid, channels, dtype=torch.float32, device="cpu"),
            controls=torch.randn(*shape, CONTROLS, dtype=torch.float32, device="cpu"),
            rewards=torch.zeros(shape, dtype=torch.float32, device="cpu"),
            ends=torch.zeros(shape, dtype=torch.bool, device="cpu"),
            real=torch.ones(shape, dtype=torch.bool, device="cpu"),
            known=torch.ones(shape, dtype=torch.bool, device="cpu"),
        )
        batch = dynamics.make_batch(windows, stage.objective, device, step)
        with autocast(device):
            return dynamics.losses(net, batch, stage.objective)

    return Loop(model, losses, stage.loop, folder, math.inf, name="dynamics", images=math.prod(shape))


def _time(loop: Loop, device: torch.device) -> tuple[float, float]:
    """Seconds of a step, by the clock and of all threads."""
    begun, used = time.perf_counter(), time.process_time()
    loop.train_step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun, time.process_time() - used


def _count(loop: Loop) -> int:
    """Operations in the matrix products and convolutions of a step, the optimizers' included."""
    with FlopCounterMode(display=False) as counter:
        loop.train_step()
    return counter.get_total_flops()


def _row(name: str, loop: Loop, times: list[tuple[float, float]], count: int, device: torch.device) -> Row:
    seconds, used = (statistics.median(column) for column in zip(*times, strict=True))
    rate = count / seconds
    return Row(name, loop.images, seconds, used, rate / 1e9, rate / matmul_rate(device), _parts(loop))


def _parts(loop: Loop) -> dict[str, float]:
    """Where a step's time goes; products of the optimizers count as theirs."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        loop.train_step()
    times = {"products": 0.0, "optimizers": 0.0, "rest": 0.0}
    for event in profiler.events():
        part = "optimizers" if _in_optimizer(event) else "products" if event.name in PRODUCTS else "rest"
        times[part] += event.self_cpu_time_total
    whole = sum(times.values())
    return {part: time / whole for part, time in times.items()}


def _in_optimizer(event: Any) -> bool:
    """Whether an event of the profiler is the step of an optimizer, or happens inside it."""
    while event is not None and not event.name.startswith("Optimizer.step"):
        event = event.cpu_parent
    return event is not None
