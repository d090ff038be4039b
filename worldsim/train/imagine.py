"""Training on the model's own past: contexts whose later frames are imagined, as in play.

A model that was only ever shown recorded frames does not know what to do about its own mistakes: a ball that is missing from one
frame of the past stays missing. Here it is shown such a past, and the frame to predict is still the one recorded.
After the self-resampling of Guo et al. 2025, arXiv:2512.15702, with codewords drawn as in play.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from worldsim.model.dit import DiT
from worldsim.model.heads import draw_codes, reveal
from worldsim.model.noise import add_noise
from worldsim.train.dynamics import Batch


@torch.no_grad()
def imagine_context(model: DiT, batch: Batch, rows: int, depth: int, seed: int) -> Batch:
    """The same batch, in whose first rows the later frames of the context are imagined.

    All frames of a window are imagined at once, each from those before it: a few from nothing but those, as in play, the others
    from a noisy copy of themselves too. The second time, the frames before are themselves imagined, and so on: after `depth`
    times a frame has what a rollout of as many frames would have gone through.

    Args:
        model: the one in training.
        batch: with one noisy copy of the context; the copies, which the model is to predict, stay as they are.
        rows: how many.
        depth: how often.
        seed: of where the imagined frames begin in each row, and of the codewords drawn.
    """
    assert batch.copies == 1
    generator = torch.Generator("cpu").manual_seed(seed)
    frames = batch.levels.shape[1] // 2
    latents = batch.windows.latents[:rows].clone()
    first = torch.randint(1, max(2, frames - 1), (rows, 1), generator=generator, device="cpu")
    later = (torch.arange(frames, device="cpu") >= first).to(latents.device) & (batch.levels[:rows, frames:] > 0)
    later &= ~batch.windows.ends[:rows, frames:].cummax(1).values  # of an end and what comes after it there is no picture
    for _ in range(depth):
        made = imagine(model, latents, batch, generator)
        latents[:, :frames] = torch.where(later[..., None, None, None], made, latents[:, :frames])
    windows = replace(batch.windows, latents=torch.cat([latents, batch.windows.latents[rows:]]))
    return replace(batch, windows=windows)


def imagine(model: DiT, latents: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
    """Imagines every frame of the context from those before it.

    Args:
        model, batch: as above.
        latents: `(rows, 2 T, h, w, C)`: a context, and the recorded frames.
        generator: of the codewords drawn.

    Returns:
        `(rows, T, h, w, C)` float32.
    """
    rows, frames = len(latents), latents.shape[1] // 2
    levels, controls = batch.levels[:rows], batch.windows.controls[:rows]
    given = add_noise(latents, batch.noise[:rows], levels), levels, torch.zeros_like(levels), controls
    if not model.config.codes:
        return cast(Tensor, model(*given, copies=1).x.float())
    codes = torch.zeros(latents.shape[:-1], dtype=torch.int64, device=latents.device)
    known = torch.zeros_like(codes, dtype=torch.bool)
    shown = reveal(codes, model.codebook, known) if model.config.reveals else None
    guess = model(*given, copies=1, shown=shown)
    logits = guess.code.float()
    uniforms = torch.rand(logits.shape[:-1], generator=generator, dtype=torch.float32, device="cpu").to(logits.device)
    drawn = draw_codes(logits, uniforms, 1.0, model.config.code_floor)
    pure = (levels[:, frames:] == 1)[..., None, None]  # only there are codewords drawn
    if shown is None:
        book = model.codebook.float()
        return guess.x.float() + (book[drawn] - logits.softmax(-1) @ book) * pure[..., None]
    codes[:, frames:], known[:, frames:] = drawn, pure
    return cast(Tensor, model(*given, copies=1, shown=reveal(codes, model.codebook, known)).x.float())
