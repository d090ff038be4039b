"""The tokenizer's objective: reconstruct frames, the hard patches above all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.model.tokenizer import Tokenizer
from worldsim.train.checks import check_fields


@dataclass(frozen=True)
class TokenizerObjective:
    """Weights of the reconstruction loss.

    Attributes:
        patch: pixels of a patch's side, for what follows.
        hard_share: share of the patches that count as hard, those with the largest error of the batch. Small, rare things
            (a fireball) live there, and a mean over pixels does not see them.
        hard_weight: their extra weight.
        absolute_weight: weight of the mean absolute error, beside the mean squared one.
        latent_noise: largest noise added to latents before decoding, so that small errors of the dynamics do not show.
    """

    patch: int = 8
    hard_share: float = 0.05
    hard_weight: float = 0.5
    absolute_weight: float = 0.02
    latent_noise: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self, {"patch": 1}, dict.fromkeys(("hard_weight", "absolute_weight", "latent_noise"), 0.0), ("hard_share",))


def tokenizer_loss(model: Tokenizer, images: Tensor, noise: Tensor, objective: TokenizerObjective) -> tuple[Tensor, Tensor]:
    """Loss and mean squared error (in [0, 1] pixel units) on images `(B, 3, H, W)`; `noise` is `(B, h, w, C)`, ready scaled."""
    error = (model.decode(model.encode(images) + noise).float() - images.float()) / 2
    square = error.square()
    patches = F.avg_pool2d(square.mean(1, keepdim=True), objective.patch).flatten()
    hard = patches.topk(max(1, int(objective.hard_share * patches.numel()))).values
    loss = square.mean() + objective.absolute_weight * error.abs().mean()
    return loss + objective.hard_weight * objective.hard_share * hard.mean(), square.mean().detach()


@torch.no_grad()
def fit_scale(model: Tokenizer, images: Iterable[Tensor]) -> None:
    """Sets the latents' mean and standard deviation per channel to those found on `images`, so that latents have unit scale."""
    mean, std = model.latent_mean.clone(), model.latent_std.clone()
    latents = torch.cat([model.encode(batch).float().flatten(0, 2) for batch in images]) * std + mean
    model.latent_mean.copy_(latents.mean(0))
    model.latent_std.copy_(latents.std(0).clamp_min(1e-3))
