from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.eval.fidelity import Estimate, estimate, half_life, masked, psnr, ratio, ssim

RNG = np.random.default_rng(0)


def flat(value: int) -> np.ndarray:
    return np.full((16, 24, 3), value, np.uint8)


def test_psnr_of_known_differences() -> None:
    frames = np.stack([flat(100), flat(100), flat(0)])
    others = np.stack([flat(101), flat(100), flat(255)])
    assert psnr(frames, others) == pytest.approx([48.1308, 58.9226, 0.0], abs=1e-4)


def test_psnr_sees_all_pixels_and_channels() -> None:
    frame = flat(100)
    frame[0, 0, 2] += 12
    assert psnr(frame, flat(100)) == pytest.approx(10 * math.log10(255**2 / (144 / frame.size)))


def test_ssim_of_flat_frames_is_the_luminance_term() -> None:
    c1 = 2.55**2
    assert ssim(flat(100), flat(100)) == pytest.approx(1)
    assert ssim(flat(100)[None], flat(150)[None])[0] == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-4)


def test_ssim_follows_its_definition() -> None:
    x = RNG.integers(0, 256, (2, 13, 12, 3), dtype=np.uint8)
    y = np.clip(x + RNG.normal(0, 40, x.shape), 0, 255).astype(np.uint8)
    bell = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    weights = np.outer(bell, bell) / bell.sum() ** 2

    def at(row: int, column: int, frame: int, channel: int) -> float:
        a, b = (v[frame, row : row + 11, column : column + 11, channel].astype(float) for v in (x, y))
        mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
        var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
        covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
        top = (2 * mean_a * mean_b + 2.55**2) * (2 * covariance + 7.65**2)
        return float(top / ((mean_a**2 + mean_b**2 + 2.55**2) * (var_a + var_b + 7.65**2)))

    wanted = [np.mean([at(r, c, f, k) for r in range(3) for c in range(2) for k in range(3)]) for f in range(2)]
    assert ssim(x, y) == pytest.approx(wanted, abs=1e-4)


def test_estimate_of_equal_counts_is_the_usual_interval() -> None:
    values = RNG.normal(3, 1, 40)
    found = estimate(values * 5, np.full(40, 5))
    assert found.value == pytest.approx(values.mean()) and found.count == 200
    assert found.ci95 == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(40))


def test_estimate_weighs_by_count_and_takes_nothing_for_nothing() -> None:
    found = estimate(np.array([3, 1, 0]), np.array([4, 1, 0]))
    assert found.value == 0.8 and found.count == 5
    empty = estimate(np.zeros(3), np.zeros(3))
    assert math.isnan(empty.value) and empty.count == 0
    assert math.isnan(estimate(np.array([2.0]), np.array([1])).ci95)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Frames of one clip are alike, so that an interval over frames would be far too narrow."""
    held = 0
    for _ in range(400):
        sizes = RNG.integers(1, 20, 50)
        values = np.repeat(RNG.normal(0, 1, (50, 1)), 20, axis=1) + RNG.normal(0, 0.1, (50, 20))
        found = masked(values, np.arange(20) < sizes[:, None])
        held += abs(found.value) <= found.ci95
    assert 0.90 <= held / 400 <= 0.98


def test_a_ratio_has_the_interval_of_both_figures() -> None:
    found = ratio(Estimate(1.5, 0.3, 40), Estimate(2.0, 0.2, 50))
    assert (found.value, found.count) == (0.75, 40)
    assert found.ci95 == pytest.approx(0.75 * math.hypot(0.3 / 1.5, 0.2 / 2.0))
    assert ratio(Estimate(0.0, 0.0, 40), Estimate(2.0, 0.2, 50)) == Estimate(0.0, 0.0, 40)
    assert math.isnan(ratio(Estimate(1.0, 0.1, 40), Estimate(0.0, 0.0, 50)).value)


def test_half_life_is_the_first_step_no_better_than_a_copy() -> None:
    copy = np.full((2, 4), 20.0)
    model = np.array([[25.0, 24, 19, 25], [23, 22, 20, 18]])
    everywhere = np.ones((2, 4), bool)
    assert half_life(model, copy, everywhere) == 3
    assert half_life(model[:, :2], copy[:, :2], everywhere[:, :2]) is None
    assert half_life(model, copy, np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)) is None
