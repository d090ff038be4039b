from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY_DIT, randomize

from worldsim.model.dit import DiT, Prediction
from worldsim.model.heads import nearest_code
from worldsim.model.noise import NoiseConfig
from worldsim.train.dynamics import (
    DynamicsObjective,
    code_loss,
    dynamics_loss,
    end_loss,
    losses,
    make_batch,
    shortcut_targets,
)
from worldsim.train.store import Windows

CPU = torch.device("cpu")


def windows(rows: int = 8, frames: int = 4) -> Windows:
    real = torch.ones(rows, frames, dtype=torch.bool)
    real[0, -1] = False
    known = torch.ones(rows, frames, dtype=torch.bool)
    known[1, 0] = False
    generator = torch.Generator().manual_seed(0)
    return Windows(
        latents=torch.randn(rows, frames, 2, 3, TINY_DIT.latent_channels, generator=generator),
        controls=torch.randn(rows, frames, TINY_DIT.controls, generator=generator),
        rewards=torch.randn(rows, frames, generator=generator),
        ends=~real,
        real=real,
        known=known,
    )


def test_a_batch_is_reproducible_and_hides_what_has_no_picture() -> None:
    objective = DynamicsObjective(noise=NoiseConfig(shortcut_share=0.25))
    one, same, other = (make_batch(windows(), objective, CPU, seed) for seed in (1, 1, 2))
    assert torch.equal(one.noise, same.noise) and torch.equal(one.levels, same.levels)
    assert not torch.equal(one.levels, other.levels)
    assert one.levels[0, -1] == 1
    assert one.shortcuts == 2 and (one.step_sizes[:2] >= 0.5).all() and (one.step_sizes[2:] <= 0.25).all()


def test_end_windows_teach_no_pictures_and_ends_weigh_as_they_should() -> None:
    given, objective = windows(), DynamicsObjective(noise=NoiseConfig(context_share=0, shortcut_share=0, pure_share=1))
    batch = make_batch(given, objective, CPU, 1, end_windows=2, excess=4.0)
    assert not batch.windows.real[6:].any() and batch.windows.real[1:6].all()
    assert batch.windows.known[6:].all() and (batch.levels[1:] == 1).all()
    logits = torch.zeros(8, 4, requires_grad=True)
    end_loss(logits, batch, boost=1.0).backward()
    assert logits.grad is not None
    usual, excessive = logits.grad[2, 0].item(), logits.grad[0, 0].item()
    assert excessive == pytest.approx(usual / 4), "windows of which there are four times too many count a quarter"
    assert logits.grad[7, 0].item() == usual


def test_noisy_copies_count_and_the_context_does_not() -> None:
    objective = DynamicsObjective(noise=NoiseConfig(context_share=0, context_max=0.2, shortcut_share=0.25), copies=2)
    given = windows()
    batch = make_batch(given, objective, CPU, 1)
    assert batch.levels.shape == (8, 12) and torch.equal(batch.windows.latents[:, 4:8], given.latents)
    assert (batch.levels[1:, :4] <= 0.2).all() and (batch.step_sizes[:, :4] == 0).all()
    assert (batch.levels[0, 3::4] == 1).all(), "after an end there is no picture, in no copy"
    assert not batch.windows.real[:, :4].any() and not batch.windows.known[:, :4].any()
    assert torch.equal(batch.windows.real[:, 4:8], given.real) and torch.equal(batch.windows.known[:, 8:], given.known)
    assert (batch.step_sizes[:2, 4:] >= 0.5).all() and (batch.step_sizes[2:, 4:] <= 0.25).all()


def test_the_truth_costs_nothing_and_unseen_frames_do_not_count() -> None:
    objective = DynamicsObjective(noise=NoiseConfig(shortcut_share=0), reward_weight=0, end_weight=0)
    batch = make_batch(windows(), objective, CPU, 0)
    x = batch.windows.latents.clone()
    x[0, -1] += 100  # no picture exists here
    heads = torch.zeros(8, 4, 41), torch.zeros(8, 4)
    assert dynamics_loss(Prediction(x, *heads), batch, batch.windows.latents, objective)["loss"] == 0
    x[1, 0] += 1
    assert dynamics_loss(Prediction(x, *heads), batch, batch.windows.latents, objective)["loss"] > 0


def test_shortcut_of_a_perfect_model_is_the_truth() -> None:
    """If both half steps see the truth, the whole step's target is the truth."""
    truth = torch.randn(2, 3, 2, 3, 6)

    class Oracle(torch.nn.Module):
        def forward(self, z: torch.Tensor, *_: torch.Tensor, **__: int) -> Prediction:
            return Prediction(truth, torch.zeros(2, 3, 41), torch.zeros(2, 3))

    levels, step_sizes = torch.tensor([[1.0, 0.5, 1.0]] * 2), torch.tensor([[1.0, 0.5, 0.5]] * 2)
    targets = shortcut_targets(Oracle(), torch.randn_like(truth), levels, step_sizes, torch.zeros(2, 3, 5))  # type: ignore[arg-type]
    assert torch.allclose(targets, truth, atol=1e-5)


@pytest.mark.parametrize("boost", [1.0, 10.0])
def test_the_end_head_stays_calibrated(boost: float) -> None:
    """Where a frame ends its episode one time in ten, the best logit is that of 10%, however windows and noise are drawn.

    Ends always are pure noise, other frames one time in five.
    """
    generator = torch.Generator().manual_seed(0)
    rows, frames, pure = 8000, 5, 0.2
    base = windows(rows, frames)
    ends = torch.rand(rows, frames, generator=generator) < 0.1
    base.ends, base.real, base.known = ends, ~ends, torch.ones_like(ends)
    levels = torch.where(ends | (torch.rand(rows, frames, generator=generator) < pure), 1.0, 0.5)
    objective = DynamicsObjective(noise=NoiseConfig(shortcut_share=0, pure_share=pure))
    batch = make_batch(base, objective, CPU, 0)
    batch.levels = levels
    logit = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=50)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = end_loss(logit.expand(rows, frames), batch, boost)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    assert logit.sigmoid().item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("copies", [0, 2])
@pytest.mark.parametrize("space", ["x", "v"])
@pytest.mark.parametrize("prediction", ["x", "v"])
def test_losses_fall(space: str, prediction: str, copies: int) -> None:
    torch.manual_seed(0)
    model = DiT(replace(TINY_DIT, prediction=prediction))
    randomize(model)
    objective = DynamicsObjective(space=space, copies=copies)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history, codes = [], []
    for _ in range(60):
        parts = losses(model, make_batch(windows(), objective, CPU, 0), objective)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        history.append(float(parts["loss"].detach()))
        codes.append(float(parts["code"].detach()))
    assert all(math.isfinite(value) for value in history)
    assert history[-1] < 0.7 * history[0] and codes[-1] < codes[0]


def test_codewords_count_where_nothing_is_known_of_a_frame() -> None:
    batch = make_batch(windows(), DynamicsObjective(noise=NoiseConfig(shortcut_share=0, pure_share=0.4)), CPU, 0)
    book = torch.randn(7, TINY_DIT.latent_channels, generator=torch.Generator().manual_seed(1))
    right = torch.nn.functional.one_hot(nearest_code(batch.windows.latents, book), 7) * 100.0
    assert code_loss(right, batch, book) < 1e-3
    counts = (batch.levels == 1) & batch.windows.real
    wrong_elsewhere = torch.where(counts[..., None, None, None], right, -right)
    assert counts.any() and not counts.all() and code_loss(wrong_elsewhere, batch, book) < 1e-3
    assert code_loss(-right, batch, book) > 1


def test_some_frames_of_pure_noise_show_some_codewords() -> None:
    noise = NoiseConfig(context_share=0, shortcut_share=0, pure_share=0.5)
    objective = DynamicsObjective(noise=noise, copies=1, revealed_share=0.6)
    batch = make_batch(windows(rows=64, frames=8), objective, CPU, 0).predicted()
    shown = batch.revealed.any((2, 3))
    assert not shown[batch.levels < 1].any() and shown.any() and not batch.windows.ends[shown].any()
    usual = (batch.levels == 1) & batch.windows.real
    assert (shown & usual).sum() / usual.sum() == pytest.approx(0.6 * 6 / 7, abs=0.1), "a share near 0 shows none of six patches"
    assert batch.revealed[shown].float().mean() == pytest.approx(7 / 12, abs=0.07)
    assert (batch.rarity == 0.5 * 0.4).all()
    assert not make_batch(windows(), replace(objective, revealed_share=0.0), CPU, 0).revealed.any()


def test_codewords_shown_count_for_nothing_and_are_seen() -> None:
    objective = DynamicsObjective(noise=NoiseConfig(context_share=0, shortcut_share=0, pure_share=1), revealed_share=1.0)
    batch = make_batch(windows(), objective, CPU, 0)
    book = torch.randn(7, TINY_DIT.latent_channels, generator=torch.Generator().manual_seed(1))
    right = torch.nn.functional.one_hot(nearest_code(batch.windows.latents, book), 7) * 100.0
    wrong_where_shown = torch.where(batch.revealed[..., None], -right, right)
    assert code_loss(wrong_where_shown, batch, book) < 1e-3 < code_loss(-right, batch, book)

    model = DiT(TINY_DIT)
    randomize(model)
    logits = torch.zeros(8, 4)
    assert torch.equal(end_loss(logits, batch, 1.0), end_loss(logits.masked_fill(batch.revealed.any((2, 3)), 9.0), batch, 1.0))
    hidden = replace(batch, revealed=torch.zeros_like(batch.revealed))
    given, blind = (losses(model, one, objective)["flow"] for one in (batch, hidden))
    assert not torch.allclose(given, blind)
    assert torch.allclose(blind, losses(model, hidden, replace(objective, revealed_share=0.0))["flow"])
