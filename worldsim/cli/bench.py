"""`worldsim bench stream`, `env` and `kernels`: measurements of speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from worldsim.cli.options import Device, write_json

Op = Literal["frame_attention", "norm_modulate", "ring_attention", "temporal_decode", "qkv_write"]
OPS: tuple[Op, ...] = ("frame_attention", "norm_modulate", "ring_attention", "temporal_decode", "qkv_write")


def stream(
    worlds: Positional[tuple[str, ...]] = (),
    *,
    preset: tuple[str, ...] = (),
    batch: tuple[int, ...] = (1, 32),
    modes: tuple[Literal["eager", "compiled"], ...] = ("eager",),
    dtypes: tuple[Literal["auto", "fp32", "bf16"], ...] = ("auto",),
    isa: tuple[Literal["default", "avx512_core_bf16", "avx2"], ...] = ("default",),
    frames: int = 300,
    long: int = 0,
    threads: int = 0,
    device: Device = "auto",
    json: Path | None = None,
) -> None:
    """Times frames, decoding and the write into the context included.

    Args:
        worlds: Names, folders or Hub ids; by default all that ship.
        preset: Sizes of larger worlds, with random weights: 360p-250m, 360p-1b.
        batch: Worlds at a time.
        modes: Whether networks are compiled (takes a minute and a C++ compiler).
        dtypes: "auto" is what playing would use here.
        isa: Newest CPU instructions allowed, to measure as an older processor would.
        frames: Steps measured.
        long: Steps of a long run, whose last thousand is compared with the first; 0 for none.
        threads: CPU threads of PyTorch; 0 for its default.
        device: Where the worlds run.
        json: File for the figures.
    """
    from worldsim.bench.stream import bench_stream as run

    options: dict[str, Any] = {"presets": preset, "batch": batch, "modes": modes, "dtypes": dtypes, "isa": isa}
    write_json(json, run(worlds, **options, frames=frames, long=long, threads=threads, device=device))


def env(
    world: Positional[str] = "",
    *,
    batch: tuple[int, ...] = (1, 8, 32, 128),
    obs: tuple[Literal["latent", "pixels"], ...] = ("latent", "pixels"),
    modes: tuple[Literal["eager", "compiled"], ...] = ("eager",),
    frames: int = 60,
    threads: int = 0,
    device: Device = "auto",
    diamond: Path | None = None,
    json: Path | None = None,
) -> None:
    """Times steps, ends and resets included.

    Args:
        world: Name, folder or Hub id; by default the one that ships first.
        batch: Dreams at a time.
        obs: What the agents see; latents need no decoding.
        modes: Whether networks are compiled (takes a minute and a C++ compiler).
        frames: Steps measured, of `batch` frames each.
        threads: CPU threads of PyTorch; 0 for its default.
        device: Where the world runs.
        diamond: Checkout of github.com/eloialonso/diamond, whose denoiser is then timed in the same run.
        json: File for the figures.
    """
    from worldsim.bench.env import bench_env as run
    from worldsim.worlds import DEFAULT_WORLD

    options: dict[str, Any] = {"batch": batch, "obs": obs, "modes": modes}
    figures = run(world or DEFAULT_WORLD, **options, frames=frames, threads=threads, device=device, diamond=diamond)
    write_json(json, figures)


def kernels(
    ops: Positional[tuple[Op, ...]] = OPS,
    *,
    compile_only: bool = False,
    arch: tuple[Literal["sm_80", "sm_90", "sm_100"], ...] = ("sm_90",),
    rounds: int = 40,
    plot: Path | None = None,
    json: Path | None = None,
) -> None:
    """Times the kernels on a GPU; or compiles them, which needs none.

    Args:
        ops: Which.
        compile_only: Compile everything that ships, and print registers, stack, spills and shared memory.
        arch: What to compile for.
        rounds: How often each is timed, over 20 calls or more.
        plot: SVG file that gets the ratios.
        json: File for the figures.
    """
    from worldsim.bench.kernels import bench_kernels, compile_kernels

    if compile_only:
        write_json(json, compile_kernels(arch, ops))
        return
    figures = bench_kernels(ops, rounds)
    write_json(json, figures)
    if plot is not None:
        from worldsim.bench.plot import save_plot

        save_plot(plot, figures)
