"""The table of shipped worlds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from worldsim.errors import printable
from worldsim.files import text_table
from worldsim.world.config import LONGEST
from worldsim.world.folder import FILES, read_config

COLUMNS = ("world", "frame", "fps", "params", "MB", "figures")


def describe_world(folder: Path) -> dict[str, Any]:
    """What a world is: `name`, `width`, `height`, `fps`, `parameters`, `megabytes` (of all its files) and
    `figures`.
    """
    config = read_config(folder)
    return {
        "name": config.name,
        "width": config.width,
        "height": config.height,
        "fps": config.fps,
        "parameters": sum(count_parameters(folder / f"{part}.safetensors") for part in ("tokenizer", "dynamics")),
        "megabytes": sum((folder / file).stat().st_size for file in FILES) / 1e6,
        "figures": dict(config.figures),
    }


def count_parameters(path: Path) -> int:
    """Numbers in a safetensors file, from its header alone."""
    with safe_open(path, framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (not a dict)


def format_worlds(table: Sequence[Mapping[str, Any]]) -> str:
    """Aligned lines, with those figures that are single numbers or words."""
    rows = []
    for world in table:
        size, count = f"{world['width']}x{world['height']}", f"{world['parameters'] / 1e6:.1f}M"
        simple = {name: value for name, value in world["figures"].items() if isinstance(value, int | float | str)}
        texts = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in simple.items()}
        figures = ", ".join(printable(f"{name} {text}", LONGEST) for name, text in texts.items())
        rows.append((world["name"], size, f"{world['fps']:g}", count, f"{world['megabytes']:.1f}", figures))
    return text_table(COLUMNS, rows, left=range(len(COLUMNS)))
