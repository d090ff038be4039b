"""`worldsim bench stream`, `env`, `train` and `kernels`: measurements of speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from worldsim.bench.config import EnvConfig, KernelsConfig, StreamConfig, TrainStepsConfig
from worldsim.cli.options import FLAT, Json, write_json


def stream(config: Annotated[StreamConfig, FLAT], *, json: Json = None) -> None:
    """Times frames, decoding and the write into the context included."""
    from worldsim.bench.stream import bench_stream

    write_json(json, bench_stream(config))


def env(config: Annotated[EnvConfig, FLAT], *, json: Json = None) -> None:
    """Times steps, ends and resets included."""
    from worldsim.bench.env import bench_env

    write_json(json, bench_env(config))


def train(config: Annotated[TrainStepsConfig, FLAT], *, json: Json = None) -> None:
    """Times training steps."""
    from worldsim.bench.train import bench_train

    write_json(json, bench_train(config))


def kernels(config: Annotated[KernelsConfig, FLAT], *, plot: Path | None = None, json: Json = None) -> None:
    """Times the kernels on a GPU; or compiles them, which needs none.

    Args:
        plot: SVG file for the ratios of the times.
    """
    from worldsim.bench.kernels import bench_kernels, compile_kernels
    from worldsim.files import check_writable
    from worldsim.plotting import check_plotting

    if config.compile_only:
        write_json(json, compile_kernels(config))
        return
    if plot is not None:
        check_plotting()
        check_writable(plot, (".svg",))
    figures = bench_kernels(config)
    write_json(json, figures)
    if plot is not None:
        from worldsim.bench.plot import save_plot

        save_plot(plot, figures)
