"""How close imagined frames are to real ones, and how sure we are of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = 1 / 12  # mean squared error of rounding to whole grey levels: no 8-bit frame can be known better


def psnr(frames: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each frame in dB, over all pixels and channels.

    Args:
        frames, others: uint8 `(..., H, W, 3)`.

    Returns:
        `(...)`, at most 58.9 (equal frames).
    """
    error = np.square(frames.astype(np.float32) - others.astype(np.float32)).mean((-3, -2, -1), dtype=np.float64)
    return 10 * np.log10(255**2 / np.maximum(error, ROUNDING))


@torch.inference_mode()
def ssim(frames: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity of each frame, the mean over R, G and B (Wang et al. 2004, "Image Quality Assessment").

    Gaussian window 11x11 of sigma 1.5, K1 = 0.01, K2 = 0.03, only where the window lies inside the frame.

    Args:
        frames, others: uint8 `(..., H, W, 3)`, both sides at least 11 pixels.

    Returns:
        `(...)`, 1 for equal frames.
    """
    shape = frames.shape[:-3]
    pairs = zip(_planes(frames).split(64), _planes(others).split(64), strict=True)
    return torch.cat([_ssim(x, y) for x, y in pairs]).double().numpy().reshape(shape)


def _planes(frames: NDArray[np.uint8]) -> Tensor:
    """`(..., H, W, 3)` -> `(n, 3, H, W)` uint8."""
    return torch.from_numpy(np.ascontiguousarray(frames)).reshape(-1, *frames.shape[-3:]).permute(0, 3, 1, 2)


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    """uint8 `(n, 3, H, W)` -> `(n,)`."""
    x, y = x.float(), y.float()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y, xx, yy, xy = _blur(torch.stack([x, y, x * x, y * y, x * y]))
    covariance, variances = xy - mean_x * mean_y, xx - mean_x**2 + yy - mean_y**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean((1, 2, 3))


def _blur(planes: Tensor) -> Tensor:
    """Gaussian means of `(..., H, W)` -> `(..., H - 10, W - 10)`."""
    height, width = planes.shape[-2:]
    return _window(height).T @ (planes @ _window(width))  # a product is far faster here than a convolution of one channel


def _window(size: int) -> Tensor:
    """`(size, size - 10)`: column i weighs the entries i to i + 10 of a line."""
    weights = torch.exp(-((torch.arange(11, device="cpu", dtype=torch.float32) - 5.0) ** 2) / (2 * 1.5**2))
    windows = torch.zeros(size, size - 10, device="cpu", dtype=torch.float32)
    for i, weight in enumerate(weights / weights.sum()):
        windows.diagonal(-i).fill_(float(weight))
    return windows


@dataclass(frozen=True)
class Estimate:
    """A measured figure.

    Attributes:
        value: the figure; NaN where nothing was counted.
        ci95: half width of its 95% confidence interval; NaN from fewer than two clips.
        count: what it is a mean of (frames, objects, ends), in all.
    """

    value: float
    ci95: float
    count: int


def estimate(sums: NDArray[Any], counts: NDArray[Any]) -> Estimate:
    """Mean of what `counts` `(clips,)` things sum to, `sums` `(clips,)`; the interval treats whole clips as the samples.

    The standard error is that of a ratio of means over clusters (Cochran 1977, "Sampling Techniques", section 2.11).
    """
    used = np.asarray(counts) > 0
    sums, counts = np.asarray(sums, np.float64)[used], np.asarray(counts, np.float64)[used]
    n, total = len(counts), counts.sum()
    if not n:
        return Estimate(math.nan, math.nan, 0)
    value = sums.sum() / total
    spread = np.square(sums - value * counts).sum() / total**2
    return Estimate(float(value), 1.96 * math.sqrt(spread * n / (n - 1)) if n > 1 else math.nan, round(total))


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """One figure as a share of another, independent one; its interval is that of the delta method."""
    if not other.value:
        return Estimate(math.nan, math.nan, one.count)
    value = one.value / other.value
    return Estimate(value, math.hypot(one.ci95, value * other.ci95) / other.value, one.count)


def masked(values: NDArray[np.float64], exists: NDArray[np.bool_]) -> Estimate:
    """Mean of `values` `(clips, ...)` where `exists`."""
    axes = tuple(range(1, values.ndim))
    return estimate(np.where(exists, values, 0).sum(axes), exists.sum(axes))


def half_life(model: NDArray[np.float64], copy: NDArray[np.float64], exists: NDArray[np.bool_]) -> int | None:
    """First free-running step, counted from 1, at which the model's mean PSNR is no better than that of the copied last frame.

    Args:
        model, copy: PSNR `(clips, F)`.
        exists: `(clips, F)`, where there is a real frame to compare with.

    Returns:
        None if the model stays better for all F steps.
    """
    lead = np.where(exists, model - copy, 0).sum(0)
    fallen = np.flatnonzero((lead <= 0) & exists.any(0))
    return int(fallen[0]) + 1 if len(fallen) else None
