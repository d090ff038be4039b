from __future__ import annotations

import torch
from conftest import STUDIO_DIT, TINY_SPEC
from torch import Tensor

from worldsim.model.dit import DiT
from worldsim.studio.objective import StudioObjective, draw_given, losses, make_clips
from worldsim.train.store import Windows

CPU = torch.device("cpu")


def windows(rows: int, frames: int) -> Windows:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(rows, frames, 2, 3, 6, generator=generator)
    still, real = torch.zeros(rows, frames), torch.ones(rows, frames, dtype=torch.bool)
    known = real.clone()
    known[0, 0] = False
    return Windows(latents, torch.zeros(rows, frames, TINY_SPEC.size), still, still.bool(), real, known)


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_every_pattern_is_drawn_and_never_all_frames() -> None:
    given = draw_given(StudioObjective(), 2000, 8, uniform)
    assert not given.all(1).any()
    first, last = given[:, 0], given[:, -1]
    assert 0.3 < (~given.any(1)).float().mean() < 0.6, "nothing given"
    assert (first & ~last).float().mean() > 0.1 and (last & ~first).float().mean() > 0.03 and (first & last).float().mean() > 0.03
    assert not draw_given(StudioObjective(), 100, 1, uniform).any(), "a picture is always made"


def test_given_frames_are_nearly_clean_and_are_not_learned() -> None:
    objective = StudioObjective(independent_share=0, begun_share=1, ended_share=0, joined_share=0, scattered_share=0)
    batch = make_clips(windows(64, 6), objective, False, CPU, 1)
    given = ~batch.windows.real
    assert given.any() and (batch.levels[given] <= objective.dynamics.noise.context_max).all()
    made = batch.levels.masked_fill(given, 0)
    assert ((made == made.amax(1, keepdim=True)) | given).all(), "the others share a level"
    unknown = batch.windows.controls.isnan().all(-1)
    assert unknown[0, 0] and 0.2 < unknown.all(1).float().mean() < 0.8


def test_causal_batches_hold_context_and_copies() -> None:
    batch = make_clips(windows(4, 6), StudioObjective(), True, CPU, 1)
    assert batch.copies == 1 and batch.levels.shape == (4, 12)


def test_a_step_reaches_every_weight() -> None:
    torch.manual_seed(0)
    model, objective = DiT(STUDIO_DIT), StudioObjective()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    prompt = torch.randn(4, 5, 4)
    prompt[0, 2:] = 0
    for causal in (True, False):
        batch = make_clips(windows(4, 6), objective, causal, CPU, 2)
        parts = losses(model, batch, objective, causal, prompt)
        assert all(part.isfinite() for part in parts.values()) and ("policy" in parts) == causal
        parts["loss"].backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert unreached in ([], ["end_head.weight", "end_head.bias"])
