"""What a dataset holds, for people: counts, sizes, controls, coverage, and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data.coverage import coverage, format_coverage
from worldsim.data.dataset import Dataset
from worldsim.tables import text_table

PARTS = ("videos", "data", "meta")
GAP = 2  # pixels between the pictures of a sheet
CELLS = 10  # along each state variable, where places visited are counted


def describe(dataset: Dataset) -> dict[str, Any]:
    """Figures of a dataset, ready for JSON.

    Returns:
        What `coverage` gives; and `game`, `frame` (height and width), `fps`, `seconds`, `lossless`, `length` (shortest, median
        and longest episode in frames), `bytes` by part, `bytes_per_frame`, `controls` (for each the share of frames it is held
        or moved in, and how often that begins), `unused` (controls never used), `states` (least and largest value) and
        `dreamed`, `captured` and `replayable`: episodes from a world, from a window, and that can be played again.
    """
    info, rows = dataset.info, dataset.rows
    used = rows.actions != 0
    begun = used.copy()
    begun[1:] &= ~used[:-1]
    begun[dataset.offsets[:-1]] = used[dataset.offsets[:-1]]
    names = dataset.spec.names
    states = zip(info.state, rows.states.min(0).tolist(), rows.states.max(0).tolist(), strict=True) if info.state else ()
    sizes = {part: _bytes(dataset.root / part) for part in PARTS}
    spans = {name: (high - low) / CELLS for name, low, high in states if high > low}
    return {
        **coverage(dataset, spans or None),
        "game": info.game,
        "frame": [info.height, info.width],
        "fps": info.fps,
        "seconds": dataset.total_frames / info.fps,
        "lossless": info.lossless,
        "length": [int(dataset.lengths.min()), float(np.median(dataset.lengths)), int(dataset.lengths.max())],
        "bytes": sizes,
        "bytes_per_frame": sum(sizes.values()) / dataset.total_frames,
        "controls": {n: {"held": float(used[:, i].mean()), "begun": int(begun[:, i].sum())} for i, n in enumerate(names)},
        "unused": [name for i, name in enumerate(names) if not used[:, i].any()],
        "states": {name: [span * CELLS, CELLS] for name, span in spans.items()},
        "dreamed": sum(episode.world_hash is not None for episode in dataset.episodes),
        "captured": sum(episode.capture is not None for episode in dataset.episodes),
        "replayable": sum(episode.replayable for episode in dataset.episodes),
    }


def format_description(figures: Mapping[str, Any]) -> str:
    """The figures of `describe` as lines to read."""
    height, width = figures["frame"]
    shortest, median, longest = figures["length"]
    kind = "lossless" if figures["lossless"] else "h264"
    origins = [f"{figures[name]} {name}" for name in ("dreamed", "captured", "replayable") if figures[name]]
    sizes = ", ".join(f"{part} {size / 2**20:.1f}" for part, size in figures["bytes"].items())
    lines = [
        f"{figures['game']}: {width}x{height} pixels, {figures['fps']:g} frames/s, {kind}, {figures['seconds'] / 60:.1f} minutes",
        f"episodes of {shortest} to {longest} frames, median {median:g}" + (f"; {', '.join(origins)}" if origins else ""),
        f"MiB: {sizes}; {figures['bytes_per_frame']:.0f} bytes a frame",
        format_coverage(dict(figures)),
    ]
    most = max((control["held"] for control in figures["controls"].values()), default=0.0) or 1.0
    table = [
        (name, f"{control['held']:.1%}", str(control["begun"]), "#" * round(30 * control["held"] / most))
        for name, control in figures["controls"].items()
    ]
    lines.append(text_table(("control", "frames", "times", ""), table, left=(0, 3)))
    if figures["unused"]:
        lines.append(f"never used: {', '.join(figures['unused'])}")
    return "\n".join(lines)


def contact_sheet(dataset: Dataset, rows: int = 8, columns: int = 8) -> NDArray[np.uint8]:
    """Episodes spread over the dataset, one a row, and in it frames spread over the episode; RGB uint8 `(H, W, 3)`."""
    height, width, _ = dataset.frame_shape
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(rows, len(dataset))).round().astype(int))
    sheet = np.full((len(chosen) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for row, i in enumerate(chosen.tolist()):
        moments = np.unique(np.linspace(0, dataset.lengths[i] - 1, columns).round().astype(int))
        for column, t in enumerate(moments.tolist()):
            y, x = row * (height + GAP), column * (width + GAP)
            sheet[y : y + height, x : x + width] = dataset.frames(i, t, t + 1)[0]
    return sheet


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
