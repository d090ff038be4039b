from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.model.noise import NoiseConfig, add_noise, draw_levels, draw_shortcuts, loss_weight, schedule, step_toward


def test_levels_follow_their_shares() -> None:
    config = NoiseConfig(context_share=0.3, context_max=0.1, pure_share=0.2)
    levels = draw_levels(config, 400, 50, torch.Generator().manual_seed(0))
    assert levels.min() >= 0 and levels.max() == 1
    assert (levels == 1).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (levels <= 0.1).float().mean().item() == pytest.approx(0.3 + 0.5 * 0.1, abs=0.02)


def test_shift_moves_levels_up() -> None:
    configs = (NoiseConfig(context_share=0, pure_share=0, shift=s) for s in (1.0, 3.0))
    plain, shifted = (draw_levels(config, 100, 50, torch.Generator().manual_seed(0)) for config in configs)
    assert (shifted >= plain).all() and shifted.mean() > plain.mean() + 0.1


def test_shortcuts_land_on_their_grid() -> None:
    levels, step_sizes = draw_shortcuts(NoiseConfig(finest=8), 200, 20, torch.Generator().manual_seed(0))
    assert set(step_sizes.unique().tolist()) == {1.0, 0.5, 0.25}
    assert torch.equal(levels % step_sizes, torch.zeros_like(levels))
    assert (levels >= step_sizes).all() and levels.max() == 1


def test_euler_with_the_truth_recovers_the_truth() -> None:
    x, noise = torch.randn(2, 2, 3, 1, 1, 4)
    level = torch.full((2, 3), 0.8)
    z = add_noise(x, noise, level)
    lower = torch.full((2, 3), 0.3)
    assert torch.allclose(step_toward(z, x, level, lower), add_noise(x, noise, lower), atol=1e-6)
    assert torch.allclose(step_toward(z, x, level, torch.zeros(2, 3)), x, atol=1e-6)


def test_ramp_weighs_clean_frames_more() -> None:
    weights = loss_weight(NoiseConfig(ramp=0.1), torch.tensor([0.0, 0.5, 1.0]))
    assert weights.tolist() == pytest.approx([1.0, 0.55, 0.1])


@pytest.mark.parametrize(
    "given",
    [[True, True, False], [False, True, True], [True, False, True], [False]],
    ids=["next", "backward", "connect", "image"],
)
def test_schedule_keeps_what_is_given(given: list[bool]) -> None:
    levels = schedule(np.array(given), 4)
    assert levels.shape == (5, len(given))
    assert (levels[:, given] == 0).all()
    assert np.allclose(levels[:, ~np.array(given)].T, [1, 0.75, 0.5, 0.25, 0])


def test_schedule_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="num_steps was 0"):
        schedule(np.array([True]), 0)
    with pytest.raises(ValueError, match="power of two"):
        NoiseConfig(finest=3)
