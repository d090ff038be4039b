"""Plots as SVG files. matplotlib draws them; it is an optional extra and is imported only when a plot is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from worldsim.errors import WorldsimError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Text stays text, and equal figures give equal files.
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "worldsim",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def check_plotting() -> None:
    """Raises `WorldsimError` unless matplotlib is installed; call it before work whose last step is a plot."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise WorldsimError('plots need matplotlib; pip install "worldsim-dit[plot]", or leave the plot out.') from error


@contextmanager
def svg_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Gives an empty figure to draw in, and then writes it as SVG, under a temporary name first.

    Args:
        path: of the file; missing folders are made.
        width, height: in inches.

    Raises:
        WorldsimError: if matplotlib is not installed.
    """
    check_plotting()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        figure.savefig(temporary, format="svg", metadata={"Date": None})
        temporary.replace(path)
