"""What the studio's world learns: every task of the studio as a pattern of noise levels, and who plays next.

In a batch of clips all frames see all frames, and which of them are given (a beginning, an end, both, some in between,
none) is drawn anew for each clip. In a causal batch frames see their past alone, as in play. In a batch of pictures every
clip is one frame long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from worldsim.model.dit import DiT, Prediction
from worldsim.model.heads import control_targets
from worldsim.model.noise import NoiseConfig, add_noise, draw_levels
from worldsim.train.checks import check_fields
from worldsim.train.dynamics import Batch, DynamicsObjective, dynamics_loss, make_batch
from worldsim.train.store import Windows

Uniform = Callable[..., Tensor]  # shape -> draws in [0, 1)


def _dynamics() -> DynamicsObjective:
    noise = NoiseConfig(context_share=0, context_max=0.1, pure_share=0.2, shortcut_share=0)
    return DynamicsObjective(noise=noise, copies=1, ending_share=0)


@dataclass(frozen=True)
class StudioObjective:
    """Shares of the tasks, and weights.

    Attributes:
        dynamics: noise levels and weights of the loss; its copies are those of causal batches.
        image_share: of the batches, those of pictures.
        causal_share: of the batches, those in which frames see their past alone.
        begun_share: of the clips of other batches, those of which the first frames are given; and so on.
        ended_share: the last frames.
        joined_share: both.
        scattered_share: any frames.
        independent_share: of the clips of other batches, those whose frames are noisy each by itself.
        unknown_controls: share of their clips whose controls are unknown; a tenth of that in causal batches.
        unprompted: share of clips without a prompt, for guidance.
        policy_weight: weight of the cross-entropy of the controls that come next.
    """

    dynamics: DynamicsObjective = field(default_factory=_dynamics)
    image_share: float = 0.2
    causal_share: float = 0.3
    begun_share: float = 0.25
    ended_share: float = 0.1
    joined_share: float = 0.15
    scattered_share: float = 0.1
    independent_share: float = 0.15
    unknown_controls: float = 0.5
    unprompted: float = 0.1
    policy_weight: float = 0.02

    def __post_init__(self) -> None:
        shares = [name for name in vars(self) if name.endswith("_share")]
        check_fields(self, numbers={"policy_weight": 0}, shares=(*shares, "unknown_controls", "unprompted"))


def draw_given(objective: StudioObjective, rows: int, frames: int, uniform: Uniform) -> Tensor:
    """Bool `(rows, frames)`: frames that a task is given, never all of them.

    Args:
        objective: how often which are.
        rows, frames: clips, and their length.
        uniform: shape -> draws in [0, 1).
    """
    index = torch.arange(frames, device="cpu", dtype=torch.int64)
    first = (uniform(rows, 1) * frames).long()  # how many at the beginning, less than all
    last = (uniform(rows, 1) * (frames - first)).long()  # how many at the end, less than the rest
    begun, ended = index < first, index >= frames - last
    scattered = (uniform(rows, frames) < uniform(rows, 1)) & (index != (uniform(rows, 1) * frames).long())
    patterns = (
        (objective.begun_share, begun),
        (objective.ended_share, begun.flip(1)),
        (objective.joined_share, begun | ended),
        (objective.scattered_share, scattered),
    )
    kind, given, low = uniform(rows, 1), torch.zeros(rows, frames, dtype=torch.bool, device="cpu"), 0.0
    for share, pattern in patterns:
        given = torch.where((low <= kind) & (kind < low + share), pattern, given)
        low += share
    return given


def make_clips(windows: Windows, objective: StudioObjective, causal: bool, device: torch.device, seed: int) -> Batch:
    """Draws noise and levels for a batch of clips, or of pictures, which are clips of one frame. Equal seeds give equals."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")

    rows, frames = windows.rewards.shape
    unknown = uniform(rows, 1) < objective.unknown_controls * (0.1 if causal else 1)
    controls = windows.controls.masked_fill((unknown | ~windows.known)[..., None], torch.nan)
    windows = replace(windows, controls=controls)
    if causal:
        return make_batch(windows, objective.dynamics, device, seed)
    batch = make_batch(windows, replace(objective.dynamics, copies=0), device, seed)
    noise = objective.dynamics.noise
    alike = draw_levels(noise, rows, 1, generator).expand(rows, frames)
    apart = draw_levels(noise, rows, frames, generator)
    given = draw_given(objective, rows, frames, uniform)
    levels = torch.where(uniform(rows, 1) < objective.independent_share, apart, alike)
    batch.levels = torch.where(given, noise.context_max * uniform(rows, frames), levels).to(device)
    batch.windows.real = batch.windows.real & ~given.to(device)  # what is given is not to be learned
    return batch


def losses(model: DiT, batch: Batch, objective: StudioObjective, causal: bool, prompt: Tensor) -> dict[str, Tensor]:
    """Total loss under "loss", and its parts.

    Args:
        model: which may be compiled.
        batch: of `make_clips`.
        objective: weights.
        causal: whether frames see their past alone.
        prompt: `(B, L, prompt)`; see `DiT.forward`.
    """
    windows, predicted = batch.windows, batch.predicted()
    z = add_noise(windows.latents, batch.noise, batch.levels)
    made = model(
        z, batch.levels, batch.step_sizes, windows.controls, causal=causal, prompt=prompt.to(z.device), copies=batch.copies
    )
    parts = dynamics_loss(made, predicted, predicted.windows.latents, objective.dynamics)
    if made.controls is not None and causal:
        parts["policy"] = policy_loss(made, predicted)
        parts["loss"] = parts["loss"] + objective.policy_weight * parts["policy"]
    return parts


def policy_loss(made: Prediction, batch: Batch) -> Tensor:
    """Cross-entropy of the controls that come after each frame; the clearer the frame, the more it counts."""
    assert made.controls is not None
    targets = control_targets(batch.windows.controls[:, 1:], made.controls.shape[-1])  # zeros where unknown
    error = -(targets * made.controls[:, :-1].float().log_softmax(-1)).sum(-1).mean(-1)
    weight = (1 - batch.levels[:, :-1]) * targets.sum((-1, -2)).clamp_max(1)
    return (error * weight).sum() / weight.sum().clamp_min(1)
