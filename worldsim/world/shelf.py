"""The table of worlds: shipped, downloaded from the Hub, trained here; and how fast each is on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from worldsim.controls import Controls
from worldsim.errors import FileError, printable
from worldsim.hub import downloaded
from worldsim.tables import text_table
from worldsim.world.config import LONGEST
from worldsim.world.folder import FILES, files_of, read_config, readable, world_hash
from worldsim.world.runtimes.cache import cache_folder, keep_json, kept_json, processor_name
from worldsim.worlds import SHIPPED, shipped_worlds

COLUMNS = ("world", "from", "frame", "fps", "fps here", "params", "MB", "figures")
TRAINED = ("runs/*/world", "runs/*/*/world")  # where `worldsim train` writes by default
WARM_UP, TIMED = 3, 1.0  # frames that do not count; seconds that do


def known_worlds(here: Path) -> Iterator[tuple[str, str, Path]]:
    """Name, origin and folder of every world that can be played without asking the Hub.

    Args:
        here: folder whose `runs` are looked through.
    """
    for name in shipped_worlds():
        yield name, "shipped", SHIPPED / name
    for name, folder in downloaded("model"):
        if all((folder / file).is_file() for file in FILES):  # other models are in that cache, too
            yield name, "downloaded", folder
    for path in sorted(path for pattern in TRAINED for path in here.glob(pattern) if (path / "config.json").is_file()):
        yield path.relative_to(here).as_posix(), "trained here", path


def describe_world(folder: Path, name: str | None = None, place: str = "shipped") -> dict[str, Any]:
    """What a world is: `name`, `place`, `width`, `height`, `fps`, `parameters`, `megabytes` (of all its
    files), `figures`, and `measured_fps`, frames/s on this machine, None where nobody measured them.

    Args:
        folder: of the world.
        name: to list it under; by default its own.
        place: where it comes from.

    Raises:
        WorldError: if a file is missing or damaged.
    """
    config = read_config(folder)
    return {
        "name": config.name if name is None else name,
        "place": place,
        "width": config.width,
        "height": config.height,
        "fps": config.fps,
        "measured_fps": kept_speed(folder),
        "parameters": sum(count_parameters(folder / f"{part}.safetensors") for part in ("tokenizer", "dynamics")),
        "megabytes": sum((folder / file).stat().st_size for file in files_of(folder)) / 1e6,
        "figures": dict(config.figures),
    }


def measure_speed(folder: Path) -> float:
    """Frames/s of a world on this machine, with the runtime that play would choose; kept for `kept_speed`.

    Raises:
        WorldError: if it cannot be loaded.
    """
    from worldsim.world.world import World

    world, frames = World.load(folder), 0
    world.reset(seed=0)
    for _ in range(WARM_UP):
        world.step(Controls())
    begun = time.perf_counter()
    while not frames or time.perf_counter() - begun < TIMED:
        world.step(Controls())
        frames += 1
    speed = frames / (time.perf_counter() - begun)
    if (path := _speed_file(folder)) is not None:
        keep_json(path, {"fps": speed})
    return speed


def kept_speed(folder: Path) -> float | None:
    """What `measure_speed` measured here before, for the same weights and settings on the same processor."""
    path = _speed_file(folder)
    kept = None if path is None else kept_json(path)
    speed = (kept or {}).get("fps")
    return speed if isinstance(speed, float) and math.isfinite(speed) else None


def _speed_file(folder: Path) -> Path | None:
    try:
        place = cache_folder()
    except FileError:
        return None
    processor = "".join(c if c.isalnum() else "-" for c in processor_name())
    return place / "speed" / f"{world_hash(folder)}-{processor}.json"


def count_parameters(path: Path) -> int:
    """Numbers in a safetensors file, from its header alone.

    Raises:
        WorldError: if it cannot be read.
    """
    with readable(path), safe_open(path, framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (not a dict)


def format_worlds(table: Sequence[Mapping[str, Any]]) -> str:
    """Aligned lines, with those figures that are single numbers or words."""
    rows = []
    for world in table:
        size, count = f"{world['width']}x{world['height']}", f"{world['parameters'] / 1e6:.1f}M"
        simple = {name: value for name, value in world["figures"].items() if isinstance(value, int | float | str)}
        texts = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in simple.items()}
        figures = ", ".join(printable(f"{name} {text}", LONGEST) for name, text in texts.items())
        here = "-" if world["measured_fps"] is None else f"{world['measured_fps']:.1f}"
        name = printable(world["name"], LONGEST)
        rows.append((name, world["place"], size, f"{world['fps']:g}", here, count, f"{world['megabytes']:.1f}", figures))
    return text_table(COLUMNS, rows, left=range(len(COLUMNS)))
