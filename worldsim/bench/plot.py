"""The plot of `worldsim bench kernels`: how long each contender takes, as a multiple of ours. Plain SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from worldsim.kernels.comparisons import OURS

WIDTH, LEFT, RIGHT, TOP, STEP = 1100, 430, 40, 70, 24
INK, PALE = "#24292f", "#d0d7de"
COLOURS = ("#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700", "#57606a", "#0550ae", "#cf222e", "#116329", "#6639ba")
LOW, HIGH = 0.25, 64.0  # of the axis, which is logarithmic


def save_plot(path: Path, figures: Mapping[str, Any]) -> None:
    """Writes what `bench_kernels` returned: a row for each op and size, a dot for each rival, left of the line if faster."""
    sizes: dict[tuple[str, str], dict[str, float]] = {}
    for row in figures["results"]:
        if "median" in row["cold"]:
            sizes.setdefault((row["op"], row["size"]), {})[row["contender"]] = row["cold"]["median"]
    sizes = {size: times for size, times in sizes.items() if OURS in times}
    rivals = dict.fromkeys(name for times in sizes.values() for name in times if name != OURS)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(rivals)}
    bottom = TOP + STEP * len(sizes)
    about = f"{figures['machine']['gpu']}, driver {figures['driver']}, commit {figures['commit']}, {figures['date']}"
    parts = [_text(10, 20, "time of each rival as a multiple of ours, inputs in memory; right of the line ours is faster")]
    parts += [_text(10, 38, about), *_axis(bottom), *_legend(colours, bottom + 45)]
    for i, ((op, size), times) in enumerate(sizes.items()):
        y = TOP + STEP * (i + 0.5)
        parts.append(_text(LEFT - 10, y + 4, f"{op} {size}: {times[OURS]:.1f} us", "end"))
        for name, colour in colours.items():
            if name in times:
                parts.append(f"<circle cx='{_x(times[name] / times[OURS]):.1f}' cy='{y}' r='5' fill='{colour}'/>")
    height = bottom + 60 + 18 * -(-len(colours) // 4)
    style = f"font-family='sans-serif' font-size='12' fill='{INK}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' {style}>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, f"<rect width='{WIDTH}' height='{height}' fill='white'/>", *parts, "</svg>"]) + "\n")


def _x(ratio: float) -> float:
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _axis(bottom: float) -> list[str]:
    parts = []
    for power in range(round(math.log2(LOW)), round(math.log2(HIGH)) + 1):
        x, colour = _x(2.0**power), INK if power == 0 else PALE
        parts.append(f"<line x1='{x:.1f}' y1='{TOP - 8}' x2='{x:.1f}' y2='{bottom}' stroke='{colour}'/>")
        parts.append(_text(x, bottom + 16, f"{2.0**power:g}x", "middle"))
    return parts


def _legend(colours: Mapping[str, str], top: float) -> list[str]:
    parts = []
    for i, (name, colour) in enumerate(colours.items()):
        x, y = 20 + 260 * (i % 4), top + 18 * (i // 4)
        parts += [f"<circle cx='{x}' cy='{y - 4}' r='5' fill='{colour}'/>", _text(x + 12, y, name)]
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(text)}</text>"
