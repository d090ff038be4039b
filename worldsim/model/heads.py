"""Readouts of the trunk besides the clean frame: rewards, and the codeword of each patch of a new frame.

Rewards are a two-hot distribution over symlog-spaced bins (Hafner et al. 2023, arXiv:2301.04104, "Robust
predictions").

Codewords model random events. When nothing of a frame is known yet, the estimate is a mean over all possible
frames. A rare event (a monster throws a fireball) almost vanishes in that mean, and the few network calls
that follow cannot bring it back. A distribution over codewords keeps a chance of 1% as 1%: one codeword is
drawn for every patch.

Drawn all at once, codewords of neighbouring patches do not agree: half a monster here, bare floor there. Drawn in
rounds, as in MaskGIT (Chang et al. 2022, arXiv:2202.04200), those of a later round are drawn knowing the earlier ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SYMLOG_LIMIT = 10.0  # rewards up to about 22,000
BLOCK = 32  # codewords


def symlog(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    return x.sign() * x.abs().expm1()


def two_hot(rewards: Tensor, bins: int) -> Tensor:
    """Rewards `(...)` -> weights `(..., bins)` on the two nearest bins, so that their mean is the symlog of
    the reward.
    """
    place = (symlog(rewards).clamp(-SYMLOG_LIMIT, SYMLOG_LIMIT) + SYMLOG_LIMIT) * (bins - 1) / (2 * SYMLOG_LIMIT)
    low = place.floor().clamp_max(bins - 2)
    share = (place - low)[..., None]
    index = low.long()
    return F.one_hot(index, bins) * (1 - share) + F.one_hot(index + 1, bins) * share


def expected_reward(logits: Tensor) -> Tensor:
    """Reward logits `(..., bins)` -> rewards `(...)`, float32."""
    centres = torch.linspace(-SYMLOG_LIMIT, SYMLOG_LIMIT, logits.shape[-1], device=logits.device, dtype=torch.float32)
    return symexp((logits.float().softmax(-1) * centres).sum(-1))


def control_targets(controls: Tensor, bins: int) -> Tensor:
    """Controls in [-1, 1] `(...)` -> weights `(..., bins)` on the two nearest of evenly spaced values; NaN gives zeros."""
    place = (controls.nan_to_num().clamp(-1, 1) + 1) * (bins - 1) / 2
    low = place.floor().clamp_max(bins - 2)
    share, index = (place - low)[..., None], low.long()
    weights = F.one_hot(index, bins) * (1 - share) + F.one_hot(index + 1, bins) * share
    return weights * ~controls.isnan()[..., None]


def draw_controls(logits: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
    """Controls in [-1, 1] `(...)`, drawn from logits `(..., bins)` with uniform draws in [0, 1) `(...)`."""
    chances = (logits.float() / max(temperature, 1e-3)).softmax(-1)
    bins = chances.shape[-1]
    chosen = torch.searchsorted(chances.cumsum(-1), uniforms[..., None].float(), right=True)[..., 0].clamp_max(bins - 1)
    return chosen / ((bins - 1) / 2) - 1


def nearest_code(latents: Tensor, codebook: Tensor) -> Tensor:
    """Index of the codeword of `(codes, C)` nearest to each latent `(..., C)`: `(...)` int64."""
    book = codebook.float()
    with torch.autocast(latents.device.type, enabled=False):  # bfloat16 would confuse neighbours
        return (latents.float() @ book.T - book.square().sum(-1) / 2).argmax(-1)


def sampled_offset(logits: Tensor, codebook: Tensor, uniforms: Tensor, temperature: float | Tensor, floor: float) -> Tensor:
    """Offset of a randomly drawn codeword from the expected one, for each patch.

    Args:
        logits: of the codewords of each patch, `(..., codes)`.
        codebook: `(codes, C)`.
        uniforms: uniform draws in [0, 1), `(...)`; equal draws give equal codewords.
        temperature: of the draw; 1 is as trained, above 1 more varied, near 0 gives the most likely codeword. A tensor
            that broadcasts against the logits gives every row its own.
        floor: codewords with a smaller chance are not drawn, unless it is the largest.

    Returns:
        Codeword drawn minus codeword expected, `(..., C)`, float32; zero where the model is certain.
    """
    book = codebook.float()
    expected = logits.softmax(-1, dtype=torch.float32) @ book
    return book[draw_codes(logits, uniforms, temperature, floor)] - expected


def draw_codes(logits: Tensor, uniforms: Tensor, temperature: float | Tensor, floor: float) -> Tensor:
    """Index `(...)` of a randomly drawn codeword for each patch; arguments as of `sampled_offset`."""
    divisor = temperature.clamp_min(1e-3) if isinstance(temperature, Tensor) else max(temperature, 1e-3)
    chances = (logits.float() / divisor).softmax(-1)
    impossible = chances < chances.amax(-1, keepdim=True).clamp_max(floor)
    return draw(chances.masked_fill(impossible, 0), uniforms)


def most_certain(logits: Tensor, known: Tensor, share: float) -> Tensor:
    """The patches that are drawn next: the most certain first, until `share` of all uncertainty is drawn.

    Counting patches instead would spend a round on the many that are certain anyway, and draw all that matter in the last.

    Args:
        logits: of the codewords of each patch, `(..., n, codes)`.
        known: bool `(..., n)`, patches drawn before.
        share: of the entropy of the patches that are not known yet; 1 for all of them.

    Returns:
        Bool `(..., n)`, none of them known.
    """
    logs = logits.log_softmax(-1, dtype=torch.float32)
    entropy = -(logs.exp() * logs).sum(-1).masked_fill(known, 0)
    order = entropy.argsort(-1)
    reached = torch.take_along_dim(entropy, order, -1).cumsum(-1)
    within = reached <= share * reached[..., -1:]
    return torch.zeros_like(known).scatter(-1, order, within) & ~known


def reveal(codes: Tensor, codebook: Tensor, known: Tensor) -> Tensor:
    """What a model is shown of codewords drawn so far: `(..., C + 1)` float32, each patch's codeword and a 1, or zeros.

    Args:
        codes: codeword of each patch, `(...)`.
        codebook: `(codes, C)`.
        known: bool `(...)`; the others are hidden.
    """
    return F.pad(codebook.float()[codes], (0, 1), value=1.0) * known[..., None]


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Indices `(...)` drawn in proportion to weights `(..., n)`, given uniform draws in [0, 1) `(...)`: first
    a block, then an entry of it, since running sums over all entries are slow.
    """
    blocks = F.pad(weights, (0, -weights.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    sums = blocks.sum(-1).cumsum(-1)
    target = uniforms[..., None] * sums[..., -1:]
    block = torch.searchsorted(sums, target, right=True).clamp_max(sums.shape[-1] - 1)
    inside = torch.take_along_dim(blocks, block[..., None], -2)[..., 0, :]
    before = torch.take_along_dim(F.pad(sums, (1, 0)), block, -1)
    place = torch.searchsorted(inside.cumsum(-1), target - before, right=True)
    likely = (inside > 0) * torch.arange(
        BLOCK, device=weights.device, dtype=torch.int64
    )  # rounding must not lead past the last there is
    return (block * BLOCK + torch.minimum(place, likely.amax(-1, keepdim=True)))[..., 0]
