"""`worldsim bench`: measurements of speed, and of `worldsim capture`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from worldsim.bench.config import (
    CaptureBenchConfig,
    DreamsBenchConfig,
    EnvConfig,
    KernelsConfig,
    LatencyConfig,
    RecordBenchConfig,
    ScalePlanConfig,
    ServeBenchConfig,
    StartConfig,
    StreamConfig,
    TrainStepsConfig,
)
from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.files import check_writable
from worldsim.plotting import check_plotting
from worldsim.scale.config import RayOptions

CAPTURE = CaptureBenchConfig()
RECORD = RecordBenchConfig()
SERVE = ServeBenchConfig()
PLAN = ScalePlanConfig()
DREAMS = DreamsBenchConfig()
RAY = RayOptions(ray=())


def stream(config: Annotated[StreamConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Times frames, decoding and the write into the context included."""
    from worldsim.bench.stream import bench_stream

    output.write(bench_stream(config))


def env(config: Annotated[EnvConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Times steps, ends and resets included."""
    from worldsim.bench.env import bench_env

    output.write(bench_env(config))


def start(config: Annotated[StartConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Times starts, with and without graphs kept on this machine."""
    from worldsim.bench.start import bench_start

    output.write(bench_start(config))


def latency(config: Annotated[LatencyConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Times the way from a key to the picture on the screen."""
    from worldsim.bench.latency import bench_latency

    output.write(bench_latency(config))


def capture(config: Annotated[CaptureBenchConfig, FLAT] = CAPTURE, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Records another program under known inputs."""
    from worldsim.bench.capture import bench_capture

    output.write(bench_capture(config))


def record(config: Annotated[RecordBenchConfig, FLAT] = RECORD, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Times steps of ViZDoom with and without recording."""
    from worldsim.bench.record import bench_record

    output.write(bench_record(config))


def serve(config: Annotated[ServeBenchConfig, FLAT] = SERVE, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Counts the players that a server holds at full rate."""
    from worldsim.bench.serve import bench_serve

    output.write(bench_serve(config))


def dreams(
    config: Annotated[DreamsBenchConfig, FLAT] = DREAMS,
    ray: Annotated[RayOptions, FLAT] = RAY,
    output: Annotated[Output, FLAT] = NO_OUTPUT,
) -> None:
    """Times a learner that is fed by dream servers."""
    from worldsim.bench.dreams import bench_dreams

    output.write(bench_dreams(config, ray))


def train(config: Annotated[TrainStepsConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Times training steps."""
    if config.nproc:
        from worldsim.bench.scaling import bench_scaling

        output.write(bench_scaling(config))
        return
    from worldsim.bench.train import bench_train

    output.write(bench_train(config))


def plan(config: Annotated[ScalePlanConfig, FLAT] = PLAN, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Simulates the training of a large world on many GPUs."""
    from worldsim.bench.scale import plan_scale

    output.write(plan_scale(config))


@dataclass(frozen=True)
class KernelsOutput(Output):
    """Where figures and plot go.

    Attributes:
        json: file for the figures.
        plot: SVG file for the ratios of the times.
    """

    plot: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plot is not None:
            check_plotting()
            check_writable(self.plot, (".svg",))


NO_KERNELS_OUTPUT = KernelsOutput()


def kernels(config: Annotated[KernelsConfig, FLAT], output: Annotated[KernelsOutput, FLAT] = NO_KERNELS_OUTPUT) -> None:
    """Times the kernels on a GPU; or compiles them, which needs none."""
    from worldsim.bench.kernels import bench_kernels, compile_kernels

    if config.compile_only:
        output.write(compile_kernels(config))
        return
    figures = bench_kernels(config)
    output.write(figures)
    if output.plot is not None:
        from worldsim.bench.plot import save_plot

        save_plot(output.plot, figures)
