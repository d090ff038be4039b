"""Reward as a two-hot distribution over symlog-spaced bins (Hafner et al. 2023, arXiv:2301.04104, "Robust predictions")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SYMLOG_LIMIT = 10.0  # rewards up to about 22,000


def symlog(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    return x.sign() * x.abs().expm1()


def two_hot(rewards: Tensor, bins: int) -> Tensor:
    """Rewards `(...)` -> weights `(..., bins)` on the two nearest bins, so that their mean is the symlog of the reward."""
    place = (symlog(rewards).clamp(-SYMLOG_LIMIT, SYMLOG_LIMIT) + SYMLOG_LIMIT) * (bins - 1) / (2 * SYMLOG_LIMIT)
    low = place.floor().clamp_max(bins - 2)
    share = (place - low)[..., None]
    index = low.long()
    return F.one_hot(index, bins) * (1 - share) + F.one_hot(index + 1, bins) * share


def expected_reward(logits: Tensor) -> Tensor:
    """Reward logits `(..., bins)` -> rewards `(...)`, float32."""
    centres = torch.linspace(-SYMLOG_LIMIT, SYMLOG_LIMIT, logits.shape[-1], device=logits.device)
    return symexp((logits.float().softmax(-1) * centres).sum(-1))
