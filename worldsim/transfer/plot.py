"""The plot of the card: real scores of all rows, and real against dream scores of the checkpoints. Plain SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from worldsim.transfer.statistics import published_bars

WIDTH, LEFT, SIDE, TOP, STEP = 960, 220, 300, 40, 34
INK, PALE = "#24292f", "#8c959f"
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df")


def save_plot(path: Path, figures: Mapping[str, Any]) -> None:
    """Writes the plot of the figures that `summarise` gave."""
    height = TOP + STEP * len(figures["summary"]) + 60
    parts = [*_rows(figures, WIDTH - SIDE - 60, height), *_checkpoints(figures, WIDTH - SIDE, height)]
    style = f"font-family='sans-serif' font-size='13' fill='{INK}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' {style}>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, f"<rect width='{WIDTH}' height='{height}' fill='white'/>", *parts, "</svg>"]) + "\n")


def _rows(figures: Mapping[str, Any], right: float, height: float) -> list[str]:
    """Means with their intervals, a dot for every run, and lines at the scores to beat."""
    summary = figures["summary"]
    highest = max(row["high"] for row in summary.values())
    marks = [bar["needed"] for bar in published_bars(figures)]
    scale = _Scale(0, max(highest, *marks, 1e-9) * 1.05 if marks else highest * 1.05 + 1e-9, LEFT, right)
    parts = [_text(LEFT, 20, "real score: mean and 95% interval; a dot for each run"), *_axis(scale, TOP, height - 50)]
    for mark in marks:
        parts.append(_line(scale(mark), TOP - 8, scale(mark), height - 50, COLOURS[2], 1.5))
        parts.append(_text(scale(mark), TOP - 10, f"{mark:g}", "middle", COLOURS[2]))
    for i, (name, row) in enumerate(summary.items()):
        y, colour = TOP + STEP * (i + 0.5), COLOURS[0] if row["dream"] is not None else INK
        parts += [_text(LEFT - 12, y + 4, name, "end"), _line(scale(row["low"]), y, scale(row["high"]), y, colour, 3)]
        parts += [_dot(scale(value), y, 2.5, PALE) for value in row["by_run"]]
        parts.append(_dot(scale(row["mean"]), y, 5, colour))
    return parts


def _checkpoints(figures: Mapping[str, Any], left: float, height: float) -> list[str]:
    """Every checkpoint of the dream row, coloured by world."""
    points = figures["correlation"]["points"]
    right, bottom = WIDTH - 16, height - 50
    parts = [_text(left, 20, "checkpoints: real score over dream score")]
    if not points:
        return parts
    dream, real = (np.array([point[name] for point in points]) for name in ("dream", "real"))
    across = _Scale(min(0.0, dream.min()), dream.max() * 1.05 + 1e-9, left, right)
    up = _Scale(min(0.0, real.min()), real.max() * 1.05 + 1e-9, bottom, TOP)
    worlds = sorted({point["world"] for point in points})
    parts += [*_axis(across, TOP, bottom), _line(left, TOP, left, bottom, PALE, 1)]
    parts += [_text(left - 4, up(tick) + 4, f"{tick:g}", "end", PALE) for tick in up.ticks()]
    colours = [COLOURS[worlds.index(point["world"]) % len(COLOURS)] for point in points]
    return parts + [_dot(across(x), up(y), 3.5, colour) for x, y, colour in zip(dream, real, colours, strict=True)]


class _Scale:
    """Values `low` to `high` onto pixels `start` to `stop`."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self.low, self.high, self.start, self.stop = float(low), float(high), start, stop

    def __call__(self, value: float) -> float:
        return self.start + (float(value) - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self) -> Sequence[float]:
        """About four round values."""
        rough = (self.high - self.low) / 4
        unit = 10 ** np.floor(np.log10(rough))
        step = unit * min((1, 2, 5, 10), key=lambda factor: abs(factor * unit - rough))
        return np.arange(np.ceil(self.low / step), np.floor(self.high / step) + 1) * step  # type: ignore[return-value]


def _axis(scale: _Scale, top: float, bottom: float) -> list[str]:
    parts = [_line(scale.start, bottom, scale.stop, bottom, PALE, 1)]
    for tick in scale.ticks():
        parts += [_line(scale(tick), top, scale(tick), bottom, "#eaeef2", 1)]
        parts += [_text(scale(tick), bottom + 18, f"{tick:g}", "middle", PALE)]
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' stroke-width='{width}'/>"


def _dot(x: float, y: float, radius: float, colour: str) -> str:
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}' fill='{colour}'/>"


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = INK) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour}'>{escape(text)}</text>"
