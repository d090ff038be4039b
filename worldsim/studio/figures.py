"""Figures that several measurements of the studio share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.studio.tasks import Frames


def psnr(one: Frames, other: Frames, which: NDArray[np.bool_] | None = None) -> float:
    """Of frames `(T, H, W, 3)`, all or some of them, in dB."""
    error = (one.astype(np.float32) - other) ** 2
    return float(-10 * np.log10(max(float((error if which is None else error[which]).mean()), 1e-3) / 255**2))


def interval(values: Sequence[float], resamples: int = 1000) -> dict[str, float]:
    """Median, or the mean of values that are all 0 or 1, and its 95% interval over resampled clips."""
    array = np.asarray(values, np.float64)
    if not len(array):
        return {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    drawn = np.random.default_rng(0).choice(array, (resamples, len(array)))
    spread = drawn.mean(1) if set(array) <= {0.0, 1.0} else np.median(drawn, 1)
    value = array.mean() if set(array) <= {0.0, 1.0} else np.median(array)
    low, high = np.quantile(spread, (0.025, 0.975))
    return {"value": float(value), "low": float(low), "high": float(high)}


def said(found: dict[str, float]) -> str:
    """A figure and its interval."""
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
