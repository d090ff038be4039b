"""`worldsim bench record`: what recording adds to a step of ViZDoom."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.bench.config import RecordBenchConfig
from worldsim.bench.stream import format_machine
from worldsim.controls import ControlSpec
from worldsim.data import Dataset
from worldsim.envs.games import Game, make
from worldsim.envs.record import RecordDataset
from worldsim.machine import describe_machine
from worldsim.tables import text_table

SIZE = (120, 160)  # height and width of ViZDoom's smallest picture
WARM_UP = 50


def bench_record(config: RecordBenchConfig) -> dict[str, Any]:
    """Plays the same game with and without recording, in turn, prints a table and returns it.

    Returns:
        `step_ms`, `recorded_ms` and `ratio`, medians over the rounds of a step's mean time; `playing_ms` and
        `playing_recorded_ms`, processor time of the thread that plays; `added`, what recording adds to that as a share of
        `step_ms`, which is what is left of it where another core encodes; `finish_ms`, from the last step until the episode is
        saved; `bytes_per_frame`; and `machine`, whose `cores` say whether one was free to encode.

    Raises:
        GameError: if ViZDoom is not installed.
    """
    machine = describe_machine()
    print(format_machine(machine), flush=True)
    rounds: list[dict[str, float]] = []
    plain = make(config.game, height=SIZE[0], width=SIZE[1])
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        recorded = RecordDataset(make(config.game, height=SIZE[0], width=SIZE[1]), Path(folder) / "data")
        try:
            for env in (plain, recorded):
                _steps(env, WARM_UP, config.seed)
            for i in range(config.rounds):
                alone = _steps(plain, config.steps, config.seed + i)
                with_it = _steps(recorded, config.steps, config.seed + i)
                begun = time.perf_counter()
                recorded.reset(seed=0)  # saves what was recorded
                finish = time.perf_counter() - begun
                times = {"alone": alone[0], "recorded": with_it[0], "playing": alone[1], "playing_recorded": with_it[1]}
                rounds.append({**times, "finish": finish})
        finally:
            plain.close()
            recorded.close()
        data = Dataset(Path(folder) / "data")
        size = sum(path.stat().st_size for path in (Path(folder) / "data/videos").rglob("*.mp4")) / data.total_frames
    middle = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    ratios = {
        "ratio": float(np.median([one["recorded"] / one["alone"] for one in rounds])),
        "added": float(np.median([(one["playing_recorded"] - one["playing"]) / one["alone"] for one in rounds])),
    }
    figures = {
        "game": config.game,
        "size": list(SIZE),
        "steps": config.steps,
        "rounds": config.rounds,
        "step_ms": 1000 * middle["alone"],
        "recorded_ms": 1000 * middle["recorded"],
        "playing_ms": 1000 * middle["playing"],
        "playing_recorded_ms": 1000 * middle["playing_recorded"],
        "finish_ms": 1000 * middle["finish"],
        **ratios,
        "bytes_per_frame": size,
        "machine": machine,
    }
    print(format_record(figures))
    return figures


def _steps(env: Game, count: int, seed: int) -> tuple[float, float]:
    """Mean seconds of a step, and of processor time in this thread; starts of episodes are not counted."""
    spec: ControlSpec = env.get_wrapper_attr("control_spec")
    rng = np.random.default_rng(seed)
    actions = [spec.to_action(vector) for vector in rng.integers(0, 2, (count, spec.size)).astype(np.float32)]
    env.reset(seed=seed)
    wall = busy = 0.0
    for action in actions:
        begun, worked = time.perf_counter(), time.thread_time()
        _, _, terminated, truncated, _ = env.step(action)
        wall, busy = wall + time.perf_counter() - begun, busy + time.thread_time() - worked
        if terminated or truncated:
            env.reset()
    return wall / count, busy / count


def format_record(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    times = ("step_ms", "recorded_ms"), ("playing_ms", "playing_recorded_ms")
    names = "step", "processor, playing thread"
    rows = [(name, *(f"{figures[key]:.3f}" for key in keys)) for name, keys in zip(names, times, strict=True)]
    height, width = figures["size"]
    title = f"{figures['game']}, {width}x{height}, {figures['steps']} steps, {figures['rounds']} rounds, ms per step"
    table = text_table(("", "alone", "recorded"), rows)
    cores = figures["machine"]["cores"]
    ratio = f"ratio {figures['ratio']:.3f} on {cores} core{'' if cores == 1 else 's'}; the playing thread +{figures['added']:.1%}"
    saved = f"{figures['bytes_per_frame']:.0f} bytes a frame; an episode is saved in {figures['finish_ms']:.0f} ms"
    return "\n".join([title, table, ratio, saved])
