"""The plot of `worldsim bench kernels`: how long other implementations take, as a multiple of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsim.kernels.comparisons import OURS
from worldsim.plotting import svg_figure

LOW, HIGH = 0.25, 64.0  # of the axis, which is logarithmic; what lies outside is drawn at its end


def save_plot(path: Path, figures: Mapping[str, Any]) -> None:
    """Writes what `bench_kernels` returned as SVG: a row for each op and size, a dot for each other implementation.

    Raises:
        WorldsimError: if matplotlib is not installed.
    """
    sizes: dict[tuple[str, str], dict[str, float]] = {}
    for row in figures["results"]:
        if "median" in row["cold"]:
            sizes.setdefault((row["op"], row["size"]), {})[row["implementation"]] = row["cold"]["median"]
    sizes = {size: times for size, times in sizes.items() if OURS in times}
    others = dict.fromkeys(name for times in sizes.values() for name in times if name != OURS)
    about = f"{figures['machine']['gpu']}, driver {figures['driver']}, commit {figures['commit']}, {figures['date']}"
    with svg_figure(path, 10, 1.8 + 0.22 * len(sizes)) as figure:
        axes = figure.add_subplot()
        for name in others:
            found = [(times[name] / times[OURS], place) for place, times in enumerate(sizes.values()) if name in times]
            axes.plot([min(max(ratio, LOW), HIGH) for ratio, _ in found], [place for _, place in found], "o", label=name)
        axes.axvline(1.0, color="black", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}x")
        axes.set_xlim(LOW * 0.9, HIGH * 1.1)
        axes.set_yticks(range(len(sizes)), [f"{op} {size}: {times[OURS]:.1f} us" for (op, size), times in sizes.items()])
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        title = (
            f"time of other implementations as a multiple of ours, inputs in memory; right of the line ours is faster\n{about}"
        )
        axes.set_title(title, fontsize="medium", loc="left")
        if others:
            figure.legend(loc="outside lower left", ncols=4, frameon=False)
