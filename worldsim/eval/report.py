"""`worldsim eval`: measures a world on held-out play against its baselines, and prints the figures as tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.data import Dataset
from worldsim.errors import DataError, printable
from worldsim.eval.config import EvalConfig
from worldsim.eval.dreams import draw_dreams
from worldsim.eval.fidelity import Estimate
from worldsim.eval.figures import FREE, MODES, measure
from worldsim.eval.probe import SMALLEST
from worldsim.files import check_writable, check_writable_folder, plain, text_table, write_json
from worldsim.machine import describe_machine
from worldsim.world import World, find_world, world_hash

DREAMS = "dreams.png"
LONGEST_NAME = 80  # characters of a name out of a file that are printed


def evaluate(
    world: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    config: EvalConfig | None = None,
    device: str = "auto",
    cache: str | Path | None = None,
    json: str | Path | None = None,
) -> dict[str, Any]:
    """Measures a world on held-out play of its game, prints the figures and returns them.

    Args:
        world: as for `World.load`.
        data: dataset with a split "eval", recorded as the world's own.
        out: folder for `sheet.png`, `clip.mp4` and, of long dreams, `dreams.png` (real above, dream below).
        config: how much to measure.
        device: as in `EvalOptions`.
        cache: folder of the object probe, which is trained once a game; by default `out`.
        json: file that gets the figures, with what they were measured on.

    Returns:
        The figures as in the JSON file; an estimate is a dict of `value`, `ci95` and `count`, None standing for what could
        not be counted.

    Raises:
        WorldError: if there is no such world.
        DataError: if the dataset does not fit the world, or is too small.
        GameError: if objects are to be counted and the game is not installed.
        FileError: if a result cannot be written, which is found out before the work starts.
    """
    config = config or EvalConfig()
    for place in (out, cache or out):
        check_writable_folder(place)
    if json is not None:
        check_writable(json)
    folder = find_world(world)
    loaded, dataset = load(folder, data, config, device)
    draw_dreams(loaded, dataset, Path(out) / DREAMS, config)
    measured = measure(loaded, dataset, Path(out), Path(cache or out), config)
    figures = {**circumstances(loaded, folder, dataset, config), **measured}
    print(format_figures(figures))
    if json is not None:
        write_json(json, figures)
    return plain(figures)


def draw(world: str | Path, data: str | Path, out: str | Path, *, config: EvalConfig | None = None, device: str = "auto") -> Path:
    """Draws long dreams of a world, and the recordings that begin at the same moments; see `draw_dreams`.

    Args, errors: as for `evaluate`.

    Returns:
        The file, `dreams.png` in `out`.
    """
    config, path = config or EvalConfig(), Path(out) / DREAMS
    check_writable_folder(out)
    draw_dreams(*load(find_world(world), data, config, device), path, config)
    return path


def load(folder: Path, data: str | Path, config: EvalConfig, device: str) -> tuple[World, Dataset]:
    """The world with a batch of `config.dreams`, and its held-out recordings."""
    dataset = Dataset(data, "eval")
    loaded = World.load(folder, device=device, num_steps=config.num_steps, batch=config.dreams, runtime=config.runtime)
    check_fit(loaded, dataset)
    return loaded, dataset


def check_fit(world: World, dataset: Dataset) -> None:
    """Raises `DataError` unless the dataset was recorded as the world's own."""
    names = ("game", "height", "width", "frame_skip", "control_spec")
    wrong = [name for name in names if getattr(world.config, name) != getattr(dataset.info, name)]
    if wrong:
        differences = "; ".join(
            f"{name} {getattr(dataset.info, name)} there, {getattr(world.config, name)} here" for name in wrong
        )
        raise DataError(f"{dataset.root} does not fit the world {world.config.name}: {differences}; give a dataset of its game.")


def circumstances(world: World, folder: Path, dataset: Dataset, config: EvalConfig) -> dict[str, Any]:
    """What was measured, with what, and on which machine."""
    return {
        "world": {"name": world.config.name, "hash": world_hash(folder), "num_steps": world.num_steps, "calls": world.calls},
        "runtime": world.runtime.name,
        "data": {"game": dataset.info.game, "held_out_episodes": len(dataset), "held_out_frames": dataset.total_frames},
        "machine": {**describe_machine(), "device": world.device.type, "dtype": str(world.dtype).removeprefix("torch.")},
        "config": dataclasses.asdict(config),
        "context": world.config.dynamics.window,
    }


def format_figures(figures: Mapping[str, Any]) -> str:
    """What `circumstances` and `measure` gave, as tables to read; intervals are 95%, over clips."""
    about, machine, config = figures["world"], figures["machine"], figures["config"]
    horizons = config["horizons"]
    lines = [
        f"{printable(about['name'], LONGEST_NAME)} ({about['hash']}), {about['calls']} network calls a frame; "
        f"seed {config['seed']}; {machine['cpu']}, {machine['cores']} cores, {machine['device']} {machine['dtype']}, "
        f"runtime {figures['runtime']}, "
        f"torch {machine['torch']}",
        f"held-out clips: {figures['context']} frames of context, then up to {max(horizons)} predicted; +- 95% over clips",
    ]
    for mode in MODES:
        lines += _horizon_tables(figures, mode, horizons)
    life = figures["half_life"]
    lines += ["", f"half-life: {life['step'] or 'more than ' + str(life['steps_measured'])} frames"]
    lines += _head_table(figures["heads"])
    if "objects" in figures:
        lines += _object_tables(figures["objects"])
    return "\n".join(lines)


def _horizon_tables(figures: Mapping[str, Any], mode: str, horizons: Sequence[int]) -> list[str]:
    """PSNR, SSIM and leads of one mode; the last column of those in dB is the mean over all frames."""
    names = [f"h={h}" for h in horizons]
    psnr, ssim, lead = (figures[name][mode] for name in ("psnr", "ssim", "lead"))
    counts = ["frames", *(str(e.count) for e in next(iter(psnr.values())))]
    return [
        *_table([f"PSNR dB, {mode}", *names, "all"], [*_rows(psnr, 2), counts]),
        *_table([f"SSIM, {mode}", *names], _rows(ssim, 3)),
        *_table([f"model's lead dB, {mode}", *names, "all"], [[f"over {r[0]}", *r[1:]] for r in _rows(lead, 2)]),
    ]


def _head_table(heads: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    rows = [[name.replace("_", " "), *(_cell(heads[mode][name], 3, counted=True) for mode in MODES)] for name in heads[FREE]]
    return _table(["reward and end (counted)", *MODES], rows)


def _object_tables(objects: Mapping[str, Any]) -> list[str]:
    classes = list(objects["per_frame"])
    titles = [f"{kind} {figure}" for kind in classes for figure in ("recall", "precision")]
    found = [
        [row, *(_cell(figure, 3, counted=True) for figures in of.values() for figure in figures.values())]
        for row, of in objects["found"].items()
    ]
    numbers = []
    for kind, counts in objects["per_frame"].items():
        quarters = " ".join(f"{e.value:.2f}" for e in counts["dreams_by_quarter"])
        cells = [_cell(counts[name], 3) for name in ("dreams", "real", "real_listed")]
        sure = [_cell(counts["confidence"][name], 3) for name in ("dreams", "real")]
        numbers.append([f"{kind}s", *cells, _cell(counts["ratio"], 2), *sure, quarters])
    ends = objects["ends"]
    numbers.append(["episode ends", *(_cell(ends[name], 4) for name in ("dreams", "real")), *5 * "-"])
    title = f"per frame, in {ends['dreams'].count} of dreams and {ends['real'].count} of the game"
    columns = [title, "dreams", "real", "game's list", "dreams / real", "confidence, dreams", "real", "dreams by quarter"]
    return [*_table([f"next-frame objects of {SMALLEST:g} px and more", *titles], found), *_table(columns, numbers)]


def _rows(table: Mapping[str, Sequence[Estimate]], digits: int) -> list[list[str]]:
    return [[name, *(_cell(e, digits) for e in estimates)] for name, estimates in table.items()]


def _cell(e: Estimate, digits: int, counted: bool = False) -> str:
    if math.isnan(e.value):
        return "-"
    return (
        f"{e.value:.{digits}f}"
        + (f"+-{e.ci95:.{digits}f}" if math.isfinite(e.ci95) else "")
        + (f" ({e.count})" if counted else "")
    )


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Aligned lines, after an empty one; the first column to the left, the others to the right."""
    return ["", *text_table(header, rows).split("\n")]
