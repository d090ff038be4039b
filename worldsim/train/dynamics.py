"""The dynamics objective: flow matching with x-prediction, diffusion forcing, shortcut steps, reward and end heads.

x-prediction with loss in x-space and ramp weights follows Dreamer 4 (Hafner et al. 2025, arXiv:2509.24527, section 3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.errors import check_choice, check_number
from worldsim.model.dit import DiT, Prediction
from worldsim.model.heads import nearest_code, reveal, two_hot
from worldsim.model.noise import NoiseConfig, add_noise, draw_context, draw_levels, draw_shortcuts, loss_weight, step_toward
from worldsim.train.checks import check_fields
from worldsim.train.store import LatentStore, Windows

IGNORED = -1  # target of patches that do not count


@dataclass(frozen=True)
class DynamicsObjective:
    """Noise and loss weights of dynamics training.

    Attributes:
        noise: how levels are drawn.
        copies: noisy copies of each frame that see the nearly clean context before it, which is how frames are imagined when
            playing; 0 trains every frame against past frames that are as noisy as itself (plain diffusion forcing).
        hard_share: share of a frame's tokens that count as hard, those with its largest errors (small, fast things).
        hard_weight: their extra weight.
        reward_weight: weight of the reward head's cross-entropy.
        end_weight: weight of the end head's binary cross-entropy.
        end_boost: how much more a true end counts than its frequency; the head's logit stays calibrated all the same.
        ending_share: share of the rows in which an episode ends, from which the end head alone learns; 0 for as many as are
            natural. Other losses leave them out, since what leads to an end is not what usually comes.
        revealed_share: share of the frames of pure noise that are shown the codewords of some of their patches, from none to
            all; for a model that `reveals`.
        code_weight: weight of the cross-entropy of codewords, where the model has them.
        space: where errors are measured, "x" (clean frames) or "v" (velocities; for comparison).
        level_floor: smallest level that errors of velocities are divided by.
        bidirectional_share: chance that a batch lets every frame see all frames, for offline tasks.
    """

    noise: NoiseConfig = field(default_factory=NoiseConfig)
    copies: int = 0
    hard_share: float = 0.125
    hard_weight: float = 1.0
    reward_weight: float = 0.01
    end_weight: float = 0.05
    end_boost: float = 10.0
    ending_share: float = 0.125
    revealed_share: float = 0.0
    code_weight: float = 0.03
    bidirectional_share: float = 0.0
    space: str = "x"
    level_floor: float = 0.05

    def __post_init__(self) -> None:
        weights = ("hard_weight", "reward_weight", "end_weight", "code_weight", "level_floor")
        check_fields(
            self,
            {"copies": 0},
            dict.fromkeys(weights, 0.0) | {"end_boost": 1e-3},
            ("hard_share", "bidirectional_share", "revealed_share"),
        )
        check_number("ending_share", self.ending_share, 0, 1, below=True)
        check_choice("space", self.space, ("x", "v"))

    def without_shortcuts(self) -> DynamicsObjective:
        """The same, trained on recorded frames alone."""
        return replace(self, noise=replace(self.noise, shortcut_share=0.0))


@dataclass
class Batch:
    """Everything one training step feeds the model; all on the device.

    Attributes:
        windows: clean latents, controls, rewards, ends. With copies, `T` holds the context, then its noisy copies; what is
            not `real` or not `known`, and so all of the context, does not count.
        noise: like `windows.latents`.
        levels, step_sizes: `(B, T)`; step sizes of at most `1 / finest` have data targets, larger ones shortcut targets.
        shortcuts: the first so many rows train on shortcut targets.
        rarity: `(B, T)` chance that a frame has level 1 and shows nothing; weighs the end head's true ends.
        revealed: bool `(B, T, h, w)`, patches whose codeword is shown.
        excess: how many times too many windows hold an end; weighs all that the end head sees in them.
        copies: noisy copies of the context.
    """

    windows: Windows
    noise: Tensor
    levels: Tensor
    step_sizes: Tensor
    shortcuts: int
    rarity: Tensor
    revealed: Tensor
    excess: float = 1.0
    copies: int = 0

    def predicted(self) -> Batch:
        """The frames that the model predicts: all of them, or with copies all but the context."""
        if not self.copies:
            return self
        context = self.levels.shape[1] // (1 + self.copies)
        windows = Windows(**{name: value[:, context:] for name, value in vars(self.windows).items()})
        rest = {name: getattr(self, name)[:, context:] for name in ("noise", "levels", "step_sizes", "rarity", "revealed")}
        return replace(self, windows=windows, copies=0, **rest)


def draw_windows(
    store: LatentStore, rows: int, frames: int, share: float, rng: np.random.Generator
) -> tuple[Windows, int, float]:
    """Random windows, in which on average `share` of the rows hold the end of an episode, where any ends: those come last.

    Ends stand at every place of a window alike, as other frames do. If they stood last only, the end head would learn to count
    frames: in play, where nothing tells how many a window will have, it would hardly foresee any.

    Returns:
        Windows of `rows` rows, how many of them hold an end, and how many times too many that is, beside the others.
    """
    natural = store.ending_share(frames)
    share = min(share or natural, int(store.ended.sum()) / rows) if natural else 0.0
    end_windows = store.ending(int(share * rows + rng.random()), frames, rng)
    usual_ones = store.batch(rows - len(end_windows.ends), frames, rng)
    return (
        Windows.join(usual_ones, end_windows),
        len(end_windows.ends),
        share * (1 - natural) / (natural * (1 - share)) if natural else 1.0,
    )


def make_batch(
    windows: Windows, objective: DynamicsObjective, device: torch.device, seed: int, end_windows: int = 0, excess: float = 1.0
) -> Batch:
    """Draws noise, levels and step sizes; the last `end_windows` rows train the heads of ends and rewards only. Equal seeds give
    equal batches.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    config, copies = objective.noise, objective.copies
    rows, context = windows.rewards.shape
    frames = (1 + copies) * context
    shortcuts = round(config.shortcut_share * rows)
    levels = draw_levels(config, rows, frames, generator)
    step_sizes = torch.rand(rows, frames, generator=generator, dtype=torch.float32, device="cpu") / config.finest
    rarity = torch.full((rows, frames), config.pure_share, dtype=torch.float32, device="cpu")
    levels[:shortcuts], step_sizes[:shortcuts] = draw_shortcuts(config, shortcuts, frames, generator)
    rarity[:shortcuts] = pure_shortcut_share(config)
    if copies:
        levels[:, :context], step_sizes[:, :context] = draw_context(config, rows, context, generator), 0
        windows = Windows(**{name: torch.cat([value] * (1 + copies), 1) for name, value in vars(windows).items()})
    revealed = draw_revealed(objective.revealed_share, levels, windows.latents.shape[2:4], generator)
    revealed &= windows.real[..., None, None]
    rarity *= 1 - objective.revealed_share
    # After an end there is no picture: all the model can know of that frame is what came before and the controls.
    levels = levels.masked_fill(~windows.real, 1.0)
    if copies:
        windows.real[:, :context] = windows.known[:, :context] = False
    windows.real[rows - end_windows :] = False
    noise = torch.randn(windows.latents.shape, generator=generator, dtype=torch.float32, device="cpu")
    moved = Windows(**{name: value.to(device) for name, value in vars(windows).items()})
    moved.latents = moved.latents.float()
    noise, levels, step_sizes, rarity, revealed = (a.to(device) for a in (noise, levels, step_sizes, rarity, revealed))
    return Batch(moved, noise, levels, step_sizes, shortcuts, rarity, revealed, excess, copies)


def draw_revealed(share: float, levels: Tensor, grid: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Bool `(B, T, h, w)`: patches whose codeword is shown, in `share` of the frames at level 1 (`levels` is `(B, T)`)."""
    if not share:
        return torch.zeros(*levels.shape, *grid, dtype=torch.bool, device=levels.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float32, device=levels.device)

    part = uniform(*levels.shape) * ((uniform(*levels.shape) < share) & (levels == 1))
    return uniform(*levels.shape, *grid) < part[..., None, None]


def pure_shortcut_share(config: NoiseConfig) -> float:
    """Chance that a frame of a shortcut row has level 1."""
    sizes = max(1, config.finest.bit_length() - 1)
    return sum(0.5**i for i in range(sizes)) / sizes


@torch.no_grad()
def shortcut_targets(model: DiT, z: Tensor, levels: Tensor, step_sizes: Tensor, controls: Tensor, copies: int = 0) -> Tensor:
    """Clean estimates whose one step of size `step_sizes` lands where two half steps of the model land."""
    half = step_sizes / 2
    middle = levels - half
    context = z.shape[1] // (1 + copies) if copies else 0  # which stays as it is
    z1, level1, level2, level3 = (a[:, context:] for a in (z, levels, middle, levels - step_sizes))
    z2 = step_toward(z1, model(z, levels, half, controls, copies=copies).x.float(), level1, level2)
    x = model(torch.cat([z[:, :context], z2], 1), middle, half, controls, copies=copies).x.float()
    z3 = step_toward(z2, x, level2, level3)
    ratio = (level3 / level1.clamp_min(1e-6))[..., None, None, None]
    return (z3 - ratio * z1) / (1 - ratio).clamp_min(1e-6)


def dynamics_loss(prediction: Prediction, batch: Batch, targets: Tensor, objective: DynamicsObjective) -> dict[str, Tensor]:
    """Total loss under "loss", and its parts. `targets` are clean latents `(B, T, h, w, C)`, shortcut rows replaced."""
    windows, levels = batch.windows, batch.levels
    token_error = (prediction.x.float() - targets).square().mean(-1).flatten(2)
    if objective.space == "v":
        token_error = token_error / levels.clamp_min(objective.level_floor).square()[..., None]
    hard = token_error.topk(max(1, int(objective.hard_share * token_error.shape[-1])), dim=-1).values.mean(-1)
    frame_error = token_error.mean(-1)
    weight = loss_weight(objective.noise, levels) * windows.real
    total = weight.sum().clamp_min(1)
    flow = (weight * (frame_error + objective.hard_weight * objective.hard_share * hard)).sum() / total

    bins = prediction.reward.shape[-1]
    reward = -(two_hot(windows.rewards, bins) * prediction.reward.float().log_softmax(-1)).sum(-1)
    reward = (reward * windows.known).sum() / windows.known.sum().clamp_min(1)
    end = end_loss(prediction.end.float(), batch, objective.end_boost)
    loss = flow + objective.reward_weight * reward + objective.end_weight * end
    pure = (levels == 1) & windows.real & ~batch.revealed.any((2, 3))
    pure_error = (frame_error * pure).sum() / pure.sum().clamp_min(1)
    return {"loss": loss, "flow": flow, "next_frame": pure_error, "reward": reward, "end": end}


def code_loss(logits: Tensor, batch: Batch, codebook: Tensor) -> Tensor:
    """Cross-entropy of the codewords' logits `(B, T, h, w, codes)` of hidden patches of frames that are still pure noise."""
    counts = ((batch.levels == 1) & batch.windows.real).flatten().nonzero()[:, 0]
    parts = (batch.windows.latents, logits, batch.revealed)
    latents, logits, revealed = (a.flatten(0, 1).index_select(0, counts) for a in parts)
    true = nearest_code(latents, codebook).masked_fill(revealed, IGNORED)
    error = F.cross_entropy(logits.float().flatten(0, -2), true.flatten(), reduction="sum", ignore_index=IGNORED)
    return error / (~revealed).sum().clamp_min(1)


def end_loss(logits: Tensor, batch: Batch, boost: float) -> Tensor:
    """Cross-entropy of the end head on frames that are still pure noise, which is where it is read.

    Ends always are pure noise and other frames only sometimes, so ends are weighed down by `rarity`. On top they weigh `boost`,
    and the logit is shifted by log(boost) here (logit adjustment, Menon et al. 2020, arXiv:2007.07314), which leaves it
    calibrated. Windows of which there are too many weigh less by as much.
    """
    ends = batch.windows.ends
    counts = (batch.levels == 1) & batch.windows.known & ~batch.revealed.any((2, 3))
    weight = torch.where(ends, batch.rarity * boost, 1.0) * counts
    weight = torch.where(ends.any(1, keepdim=True), weight / batch.excess, weight)
    error = F.binary_cross_entropy_with_logits(logits + math.log(boost), ends.float(), reduction="none")
    return (error * weight).sum() / weight.sum().clamp_min(1)


def losses(model: DiT, batch: Batch, objective: DynamicsObjective, causal: bool = True) -> dict[str, Tensor]:
    """One forward pass (and the two of the shortcut teacher) to the losses of `dynamics_loss`, and that of the codewords."""
    windows, n = batch.windows, batch.shortcuts
    z, predicted = add_noise(windows.latents, batch.noise, batch.levels), batch.predicted()
    targets = predicted.windows.latents
    if n:
        taught = shortcut_targets(model, z[:n], batch.levels[:n], batch.step_sizes[:n], windows.controls[:n], batch.copies)
        targets = torch.cat([taught, targets[n:]])
    shown = None
    if objective.revealed_share:
        shown = reveal(nearest_code(windows.latents, model.codebook), model.codebook, batch.revealed)
    given = (z, batch.levels, batch.step_sizes, windows.controls)
    prediction = model(*given, causal=causal, copies=batch.copies, shown=shown)
    parts = dynamics_loss(prediction, predicted, targets, objective)
    if prediction.code is not None:
        parts["code"] = code_loss(prediction.code, predicted, model.codebook)
        parts["loss"] = parts["loss"] + objective.code_weight * parts["code"]
    return parts
