"""What training on several processes costs: steps with them against steps of each process for itself, at the same time."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worldsim.bench.config import TrainStepsConfig
from worldsim.bench.train import training_loop
from worldsim.files import read_json, write_json
from worldsim.machine import describe_machine
from worldsim.presets import find_preset
from worldsim.tables import text_table
from worldsim.train import distributed
from worldsim.train.config import TrainConfig
from worldsim.train.launch import launch, reported
from worldsim.train.loop import Loop
from worldsim.train.muon import Muon, sent_bytes


@dataclass(frozen=True)
class ScalingRow:
    """A step of one stage on several processes, one batch for each.

    Attributes:
        stage: "tokenizer" or "dynamics".
        processes: how many.
        sharding: "replicate" or "shard".
        images: images, or frames of context, per step, of all processes.
        seconds: of a step, median.
        alone: seconds of a step in which every process, all at once, trains for itself.
        communication: share of a step beyond what it takes alone.
        efficiency: images per second, over those of the fewest processes times how many times as many there are.
        muon: seconds of a step in Muon.
        muon_bytes: that a process sends for Muon in a step.
    """

    stage: str
    processes: int
    sharding: str
    images: int
    seconds: float
    alone: float
    communication: float
    efficiency: float
    muon: float
    muon_bytes: int


def bench_scaling(config: TrainStepsConfig) -> dict[str, Any]:
    """Measures steps on each of `config.nproc` processes, prints a table and returns it.

    Returns:
        "results": a dict per stage and number of processes, see `ScalingRow`; "machine".

    Raises:
        WorldsimError: if there is no such preset or device, or a process fails.
    """
    find_preset(config.preset)
    rows: list[ScalingRow] = []
    with tempfile.TemporaryDirectory() as folder:
        for processes in sorted(set(config.nproc)):
            out = Path(folder) / f"{processes}.json"
            launch(processes, ["-m", "worldsim.bench.scaling", json.dumps(asdict(config)), str(out)], restarts=0)
            rows += [_row(processes, config.sharding, rows, **measured) for measured in read_json(out)["stages"]]
    machine = describe_machine()
    print(text_table(TITLES, [_cells(row) for row in rows]))
    where = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores, which the processes share"
    print(f"measured on one machine: {where}")
    return {"results": [asdict(row) for row in rows], "machine": machine}


TITLES = ("stage", "processes", "frames/s", "efficiency", "ms", "alone, ms", "communication", "Muon, ms", "Muon sends, MB")


def _cells(row: ScalingRow) -> list[str]:
    times = [f"{1e3 * seconds:.0f}" for seconds in (row.seconds, row.alone)]
    shares = [f"{row.images / row.seconds:.0f}", f"{row.efficiency:.0%}"]
    muon = [f"{1e3 * row.muon:.1f}", f"{row.muon_bytes / 1e6:.2f}"]
    return [row.stage, str(row.processes), *shares, *times, f"{row.communication:.0%}", *muon]


def _row(processes: int, sharding: str, before: list[ScalingRow], stage: str, images: int, **measured: Any) -> ScalingRow:
    """One row; efficiency is against the first of the stage."""
    seconds, alone = measured["seconds"], measured["alone"]
    rate = images / seconds / processes
    first = next((row.images / row.seconds / row.processes for row in before if row.stage == stage), rate)
    return ScalingRow(
        stage=stage,
        processes=processes,
        sharding=sharding if processes > 1 else "replicate",
        images=images,
        seconds=seconds,
        alone=alone,
        communication=max(0.0, 1 - alone / seconds),
        efficiency=rate / first,
        muon=measured["muon"],
        muon_bytes=measured["muon_bytes"],
    )


def _measure(config: TrainStepsConfig, out: Path) -> None:
    """What each of the processes does."""
    device = distributed.local_device(config.device)
    stages = []
    with tempfile.TemporaryDirectory() as folder:
        for stage in config.stages:
            loop, alone = (_loop(config, stage, device, Path(folder) / kind, kind) for kind in (config.sharding, "alone"))
            muon = _timed_muon(loop)
            seconds = _median(config, loop.train_step, device)
            steps = muon[-config.steps :]
            sent = sum(sent_bytes(optimizer) for optimizer in loop.optimizers if isinstance(optimizer, Muon))
            stages.append(
                {
                    "stage": stage,
                    "images": loop.images * loop.batches,
                    "seconds": seconds,
                    "alone": _median(config, alone.train_step, device, distributed.alone),
                    "muon": statistics.median(steps) if steps else 0.0,
                    "muon_bytes": sent,
                }
            )
    if distributed.is_main():
        write_json(out, {"stages": stages})


def _loop(config: TrainStepsConfig, stage: str, device: torch.device, folder: Path, kind: str) -> Loop:
    """A loop of all processes, or one that each has for itself."""
    preset = find_preset(config.preset)
    if kind == "alone":
        with distributed.alone():
            return training_loop(stage, preset, config.size, device, config.compile, folder)
    return training_loop(stage, _shared(preset, kind), config.size, device, config.compile, folder)


def _shared(preset: TrainConfig, sharding: str) -> TrainConfig:
    def wanted(stage: Any) -> Any:
        return replace(stage, loop=replace(stage.loop, sharding=sharding, batches=distributed.count()))

    return replace(preset, tokenizer=wanted(preset.tokenizer), dynamics=wanted(preset.dynamics))


def _median(
    config: TrainStepsConfig,
    step: Callable[[], Any],
    device: torch.device,
    inside: Callable[[], AbstractContextManager] = nullcontext,
) -> float:
    """Seconds of a step, after those that may compile; the processes begin each together."""
    times = []
    for i in range(3 + config.steps):
        distributed.wait()
        begun = time.perf_counter()
        with inside():
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times += [time.perf_counter() - begun] if i >= 3 else []
    return statistics.median(times)


def _timed_muon(loop: Loop) -> list[float]:
    """Seconds of each step of Muon, which grow as the loop trains."""
    times: list[float] = []
    for optimizer in loop.optimizers:
        if isinstance(optimizer, Muon):
            begun: list[float] = []
            optimizer.register_step_pre_hook(lambda *_, begun=begun: begun.append(time.perf_counter()))
            optimizer.register_step_post_hook(lambda *_, begun=begun: times.append(time.perf_counter() - begun[-1]))
    return times


def _main(arguments: str, out: str) -> None:
    given = json.loads(arguments)
    lists = {name: tuple(given[name]) for name in ("stages", "size", "nproc")}
    with reported(), distributed.joined():
        _measure(TrainStepsConfig(**{**given, **lists}), Path(out))


if __name__ == "__main__":
    _main(*sys.argv[1:])
