"""`worldsim eval`: measures a world on held-out play against its baselines, and prints the figures as tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldsim.data import Dataset
from worldsim.errors import DataError
from worldsim.eval.config import EvalConfig
from worldsim.eval.dreams import draw_dreams
from worldsim.eval.figures import measure
from worldsim.eval.tables import format_figures
from worldsim.files import check_writable, check_writable_folder, plain, write_json
from worldsim.machine import describe_machine
from worldsim.scale.cluster import Cluster
from worldsim.world import World, find_world, world_hash

DREAMS = "dreams.png"


def evaluate(
    world: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    config: EvalConfig | None = None,
    device: str = "auto",
    cache: str | Path | None = None,
    json: str | Path | None = None,
    cluster: Cluster | None = None,
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
        cluster: where held-out clips are imagined, if not here; everything else is measured here. On equal machines the figures
            are those of this process.

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
    measured = measure(loaded, dataset, Path(out), Path(cache or out), config, cluster, device)
    figures = {**circumstances(loaded, folder, dataset, config), **measured}
    if cluster is not None:
        figures["cluster"] = cluster.described()
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
