"""What the commands `worldsim bench ...` measure. Importing this loads no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from worldsim.choices import RUNTIMES, Device, Runtime
from worldsim.errors import WorldsimError, check_choice, check_int, check_number
from worldsim.worlds import DEFAULT_WORLD

Mode = Literal["eager", "compiled"]
Op = Literal["frame_attention", "norm_modulate", "ring_attention", "temporal_decode", "qkv_write"]
OPS: tuple[Op, ...] = ("frame_attention", "norm_modulate", "ring_attention", "temporal_decode", "qkv_write")

MODES: tuple[Mode, ...] = ("eager", "compiled")
DTYPES = ("auto", "fp32", "bf16")
INSTRUCTIONS = ("default", "avx512_core_bf16", "avx2")
OBSERVATIONS = ("latent", "pixels")
SHOWS = ("file", "screen")
SOURCES = ("dream", "real")
STAGES = ("tokenizer", "dynamics")
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
SPAN = 1000  # first and last steps of a long run that are compared
LEAST_ROUNDS = 5
MOST_PLAYERS = 128


@dataclass(frozen=True)
class StreamConfig:
    """Frames to time: every combination of what is given.

    Attributes:
        worlds: names, folders or Hub ids; by default, and without a preset, all that ship.
        preset: sizes of larger worlds, which get random weights: 360p-250m, 360p-1b.
        batch: numbers of worlds at a time.
        modes: whether the networks are compiled, which takes a minute and a C++ compiler.
        dtypes: number formats; "auto" is what playing uses here.
        runtimes: who executes a step, side by side; "auto" is what playing uses here.
        isa: newest CPU instructions allowed, to measure as an older processor would.
        frames: steps to measure.
        long: steps of a further run, of which the last thousand is compared with the first; 0 for none.
        threads: CPU threads of PyTorch; 0 for its default.
        device: where the worlds run.
    """

    worlds: Positional[tuple[str, ...]] = ()
    preset: tuple[str, ...] = ()
    batch: tuple[int, ...] = (1, 32)
    modes: tuple[Mode, ...] = ("eager",)
    dtypes: tuple[Literal["auto", "fp32", "bf16"], ...] = ("auto",)
    runtimes: tuple[Runtime, ...] = ("auto",)
    isa: tuple[Literal["default", "avx512_core_bf16", "avx2"], ...] = ("default",)
    frames: int = 300
    long: int = 0
    threads: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        _check_choices("modes", self.modes, MODES)
        _check_choices("dtypes", self.dtypes, DTYPES)
        _check_choices("runtimes", self.runtimes, RUNTIMES)
        _check_choices("isa", self.isa, INSTRUCTIONS)
        _check_counts(self.batch, self.frames, self.threads)
        if self.long and self.long < 2 * SPAN:
            raise WorldsimError(f"long was {self.long}; give at least {2 * SPAN} steps, or 0 for no long run.")


@dataclass(frozen=True)
class EnvConfig:
    """Steps of agents to time: every combination of what is given.

    Attributes:
        world: name, folder or Hub id.
        batch: numbers of dreams at a time.
        obs: what the agents see; latents need no decoding.
        modes: whether the networks are compiled, which takes a minute and a C++ compiler.
        runtimes: who executes a step, side by side; "auto" is what `World.load` takes here.
        frames: steps to measure, of `batch` frames each.
        threads: CPU threads of PyTorch; 0 for its default.
        device: where the world runs.
        diamond: checkout of github.com/eloialonso/diamond, whose denoiser is then timed in the same run.
    """

    world: Positional[Annotated[str, arg(metavar="[WORLD]")]] = DEFAULT_WORLD
    batch: tuple[int, ...] = (1, 8, 32, 128)
    obs: tuple[Literal["latent", "pixels"], ...] = ("latent", "pixels")
    modes: tuple[Mode, ...] = ("eager",)
    runtimes: tuple[Runtime, ...] = ("auto",)
    frames: int = 60
    threads: int = 0
    device: Device = "auto"
    diamond: Path | None = None

    def __post_init__(self) -> None:
        _check_choices("obs", self.obs, OBSERVATIONS)
        _check_choices("runtimes", self.runtimes, RUNTIMES)
        _check_choices("modes", self.modes, MODES)
        _check_counts(self.batch, self.frames, self.threads)


@dataclass(frozen=True)
class StartConfig:
    """Starts to time: every combination of what is given.

    Attributes:
        worlds: names, folders or Hub ids.
        shows: where the first frame appears: in a file of `worldsim record`, or on the screen of `worldsim play`.
        runtimes: who executes a step; "auto" is what playing uses here.
        rounds: starts of each kind, of which the median counts.
        device: where the worlds run.
    """

    worlds: Positional[tuple[str, ...]] = (DEFAULT_WORLD,)
    shows: tuple[Literal["file", "screen"], ...] = ("file", "screen")
    runtimes: tuple[Runtime, ...] = ("auto",)
    rounds: int = 3
    device: Device = "auto"

    def __post_init__(self) -> None:
        _check_choices("shows", self.shows, SHOWS)
        _check_choices("runtimes", self.runtimes, RUNTIMES)
        check_int("rounds", self.rounds, 1)


@dataclass(frozen=True)
class LatencyConfig:
    """Key presses to time, in the real window or a real browser, on a virtual screen.

    Attributes:
        world: name, folder or Hub id.
        browser: play on the page of `worldsim serve` in Chromium, instead of in the window.
        sources: what is played: the world, and the real game where that is installed.
        key: that is pressed; by default the first that the world listens to.
        presses: of each source.
        seed: of the pauses between them.
        runtime: who executes a step; "auto" is what playing uses here.
        device: where the world runs.
    """

    world: Positional[str] = DEFAULT_WORLD
    browser: bool = False
    sources: tuple[Literal["dream", "real"], ...] = ("dream", "real")
    key: str | None = None
    presses: int = 100
    seed: int = 0
    runtime: Runtime = "auto"
    device: Device = "auto"

    def __post_init__(self) -> None:
        _check_choices("sources", self.sources, SOURCES)
        check_int("presses", self.presses, 2)
        check_int("seed", self.seed, 0)


@dataclass(frozen=True)
class CaptureBenchConfig:
    """Inputs to give to a program that is recorded, on a virtual screen.

    Attributes:
        program: "minetest", of Debian and Ubuntu; or "toy", a window of ours that shows a key a known time after it.
        inputs: keys to press, and a quarter as many clicks and motions of the mouse.
        presses: keys to press for the calibration before.
        fps: frames per second of the recording.
        seed: of keys, motions and the times between them.
        settle: seconds from the window to the first input.
        toy_delay_ms: of the toy.
    """

    program: Positional[Literal["minetest", "toy"]] = "minetest"
    inputs: int = 300
    presses: int = 40
    fps: float = 10.0
    seed: int = 0
    settle: float = 8.0
    toy_delay_ms: float = 0.0

    def __post_init__(self) -> None:
        check_int("inputs", self.inputs, 4)
        check_int("presses", self.presses, 4)
        check_int("seed", self.seed, 0)


@dataclass(frozen=True)
class RecordBenchConfig:
    """Steps of ViZDoom to time at 160x120, alone and recorded.

    Attributes:
        game: of Doom.
        steps: in each round.
        rounds: alone and recorded in turn, of which the median counts.
        seed: of games and actions.
    """

    game: Positional[Annotated[str, arg(metavar="[GAME]")]] = "doom/take-cover"
    steps: int = 300
    rounds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("steps", self.steps, 10)
        check_int("rounds", self.rounds, 1)
        check_int("seed", self.seed, 0)


@dataclass(frozen=True)
class KernelsConfig:
    """Kernels to time on a GPU, or to compile without one.

    Attributes:
        ops: which ops of the model.
        compile_only: compile everything that ships, and print registers, stack, spills and shared memory.
        arch: GPUs to compile for.
        rounds: how often each is timed, over 20 calls or more.
    """

    ops: Positional[tuple[Op, ...]] = OPS
    compile_only: bool = False
    arch: tuple[Literal["sm_80", "sm_90", "sm_100"], ...] = ("sm_90",)
    rounds: int = 40

    def __post_init__(self) -> None:
        _check_choices("ops", self.ops, OPS)
        _check_choices("arch", self.arch, ARCHITECTURES)
        check_int("rounds", self.rounds, LEAST_ROUNDS)


@dataclass(frozen=True)
class DreamsBenchConfig:
    """A learner to time whose dreams come from servers on a Ray cluster.

    Attributes:
        world: name, folder or Hub id.
        actors: numbers of dream servers, one after the other; the first row of the table has none.
        dreams: of each server.
        rollouts: of the learner to measure, after one that is not.
        device: where the worlds run.
    """

    world: Positional[Annotated[str, arg(metavar="[WORLD]")]] = "doom/take-cover-strip"
    actors: tuple[int, ...] = (1, 2, 4)
    dreams: int = 16
    rollouts: int = 3
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_int("actors", min(self.actors, default=0), 1)
        for name in ("dreams", "rollouts"):
            check_int(name, getattr(self, name), 1)


@dataclass(frozen=True)
class ServeBenchConfig:
    """Players to simulate on `worldsim serve`, over WebSockets on this machine.

    Attributes:
        worlds: names, folders or Hub ids, each on a server of its own; by default all that ship.
        players: who come at a time; those for whom there is no place wait.
        seconds: of play to measure, for each number of players.
        seed: of what players hold.
        threads: CPU threads of the server; 0 for its default.
        device: where the worlds run.
        runtime: who executes a step; "auto" is what serving uses here.
    """

    worlds: Positional[Annotated[tuple[str, ...], arg(metavar="[WORLD ...]")]] = ()
    players: tuple[int, ...] = (1, 2, 4, 8, 16)
    seconds: float = 15.0
    seed: int = 0
    threads: int = 0
    device: Device = "auto"
    runtime: Runtime = "auto"

    def __post_init__(self) -> None:
        check_int("players", min(self.players, default=0), 1)
        check_int("players", max(self.players), 1, MOST_PLAYERS)
        check_number("seconds", self.seconds, 1, 3600)
        check_int("seed", self.seed, 0)
        check_int("threads", self.threads, 0)


@dataclass(frozen=True)
class TrainStepsConfig:
    """Training steps to time, on random data.

    Attributes:
        preset: whose networks are trained, such as doom/take-cover.
        stages: timed in turn, so that a busy machine is as busy for all.
        size: height and width of a frame in pixels.
        steps: to measure, after those that compile.
        device: where to train.
        compile: compile the networks, as training does.
        nproc: processes to train with, one batch for each, such as 1 2 4; without any, one process is measured in more detail.
        sharding: of the model over several processes: "replicate" keeps all of it in each, "shard" a share.
    """

    preset: Positional[Annotated[str, arg(metavar="[NAME]")]] = DEFAULT_WORLD
    stages: tuple[Literal["tokenizer", "dynamics"], ...] = ("tokenizer", "dynamics")
    size: tuple[int, int] = (80, 128)
    steps: int = 5
    device: Device = "auto"
    compile: bool = True
    nproc: tuple[int, ...] = ()
    sharding: Literal["replicate", "shard"] = "replicate"

    def __post_init__(self) -> None:
        _check_choices("stages", self.stages, STAGES)
        check_choice("sharding", self.sharding, ("replicate", "shard"))
        check_int("nproc", min(self.nproc, default=1), 1)
        check_int("size", min(self.size), 1)
        check_int("steps", self.steps, 1)


@dataclass(frozen=True)
class ScalePlanConfig:
    """A run to plan.

    Attributes:
        preset: sizes of the world: 360p-250m or 360p-1b.
        gpus: numbers of GPUs.
        windows: per GPU and step.
        frames: of a window.
        copies: noisy copies of each frame that see its nearly clean context, as the worlds that ship were trained.
        total_frames: that training sees, repetitions included; by default as many as 10,000 hours have at 60 a second.
        price: of an hour of a GPU, in whatever currency.
    """

    preset: str = "360p-1b"
    gpus: tuple[int, ...] = (8, 64)
    windows: int = 2
    frames: int = 32
    copies: int = 1
    total_frames: int = 2_160_000_000
    price: float = 2.5

    def __post_init__(self) -> None:
        for name in ("windows", "frames", "total_frames"):
            check_int(name, getattr(self, name), 1)
        check_int("copies", self.copies, 0)
        check_int("gpus", min(self.gpus, default=0), 1)
        check_number("price", self.price, 0, math.inf)


def _check_counts(batch: tuple[int, ...], frames: int, threads: int) -> None:
    check_int("batch", min(batch, default=0), 1)
    check_int("frames", frames, 1)
    check_int("threads", threads, 0)


def _check_choices(name: str, given: tuple[str, ...], allowed: tuple[Any, ...]) -> None:
    if not given:
        raise WorldsimError(f"{name} was empty; give at least one of: {', '.join(allowed)}.")
    for value in given:
        check_choice(name, value, allowed)
