"""The whole of `worldsim train`: dataset -> tokenizer -> cached latents -> dynamics -> world folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from worldsim.data import Dataset
from worldsim.device import matmul_rate, pick_device
from worldsim.errors import TrainingError
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig, to_images
from worldsim.train import dynamics, previews
from worldsim.train.calibrate import CodeCalibration, calibrate_codes, calibrate_ends
from worldsim.train.codebook import fit_codebook
from worldsim.train.dynamics import DynamicsObjective
from worldsim.train.loop import UNCOUNTED, Loop, LoopConfig, Losses
from worldsim.train.store import FrameStore, LatentStore
from worldsim.train.tokenizer import TokenizerObjective, fit_scale, tokenizer_loss
from worldsim.world import WorldConfig, export_world, find_world, load_world

RESTART = 0.5  # of the learning rate, for weights that have been trained before


@dataclass(frozen=True)
class TokenizerStage:
    """The tokenizer, its objective and its batches."""

    model: TokenizerConfig = field(default_factory=TokenizerConfig)
    objective: TokenizerObjective = field(default_factory=TokenizerObjective)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(learning_rate=1e-3, ema=0.995))
    batch: int = 32


@dataclass(frozen=True)
class DynamicsStage:
    """The dynamics, its objective, batches and calibration; data and tokenizer fill in `model.controls` and `latent_channels`.

    Attributes:
        batch: windows at a time.
        frames: of a window.
        short_share: share of the whole budget, from its beginning, in which windows are half as long and twice as many.
    """

    model: DiTConfig = field(default_factory=DiTConfig)
    objective: DynamicsObjective = field(default_factory=DynamicsObjective)
    loop: LoopConfig = field(default_factory=LoopConfig)
    batch: int = 12
    frames: int = 16
    short_share: float = 0.0
    calibration: CodeCalibration = field(default_factory=CodeCalibration)

    def __post_init__(self) -> None:
        if self.short_share and self.frames < 2:
            raise TrainingError(f"windows of {self.frames} frame cannot be halved; give frames=2 or more, or short_share=0.")


@dataclass(frozen=True)
class TrainConfig:
    """A complete run.

    Attributes:
        name: of the world, such as "doom/take-cover".
        tokenizer: first stage.
        dynamics: second stage.
        tokenizer_share: share of the budget that goes to the tokenizer.
        starts: start contexts kept in the world, from held-out episodes.
        num_steps: network calls per frame in play.
        mirrored: the game is the same with left and right swapped, in frames and controls: every episode is trained on both ways.
    """

    name: str
    tokenizer: TokenizerStage = field(default_factory=TokenizerStage)
    dynamics: DynamicsStage = field(default_factory=DynamicsStage)
    tokenizer_share: float = 0.2
    starts: int = 16
    num_steps: int = WorldConfig.num_steps
    mirrored: bool = False


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    budget: float,
    device: str = "auto",
    compiled: bool = True,
    start: str | Path | None = None,
) -> Path:
    """Trains a world, or goes on training it; returns the world's folder.

    Args:
        config: what to train.
        data: dataset with the splits "train" and "eval".
        out: run folder: checkpoints, logs, previews, and the finished `world/`.
        budget: seconds of training in all; the preparation of frames and latents comes on top.
        device: "auto", "cpu" or "cuda".
        compiled: use torch.compile (needs a C++ compiler on a CPU).
        start: a finished world to begin with, as for `World.load`: its tokenizer is kept, its dynamics trained further. It may
            have looked back over another window. A tokenizer that never saw mirrored frames draws them badly, so training is
            mirrored only if the world's was.

    Raises:
        TrainingError, DataError, WorldError: with what to do next.
    """
    if budget <= 0:
        raise TrainingError(f"budget was {budget} seconds; give more than 0, such as 2h.")
    torch.manual_seed(config.dynamics.loop.seed)
    where = pick_device(device)
    dataset, held_out = Dataset(data, "train"), Dataset(data, "eval")
    if start is None:
        first = budget * config.tokenizer_share
        tokenizer = train_tokenizer(config, dataset, held_out, out, first, where, compiled)
        model = train_dynamics(config, dataset, held_out, tokenizer, out, budget - first, where, compiled)
    else:
        world, tokenizer, begun, *_ = load_world(find_world(start))
        config = replace(config, mirrored=config.mirrored and world.mirrored)
        tokenizer = tokenizer.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        model = train_dynamics(config, dataset, held_out, tokenizer, out, budget, where, compiled, begun)
    return finish(config, dataset, held_out, tokenizer, model, out, where)


def finish(
    config: TrainConfig, dataset: Dataset, held_out: Dataset, tokenizer: Tokenizer, model: DiT, out: Path, device: torch.device
) -> Path:
    """Writes the world of two trained models, with start contexts from held-out episodes."""
    store = LatentStore(held_out, tokenizer, out / "cache" / "eval-latents.bin", device)
    starts = draw_starts(store, config.starts, model.config.window, config.dynamics.loop.seed)
    info = dataset.info
    world = WorldConfig(
        name=config.name,
        game=info.game,
        height=info.height,
        width=info.width,
        fps=info.fps,
        frame_skip=info.frame_skip,
        control_spec=info.control_spec,
        tokenizer=tokenizer.config,
        dynamics=model.config,
        num_steps=config.num_steps,
        data=dataset.fingerprint,
        mirrored=config.mirrored,
    )
    return export_world(out / "world", world, tokenizer, model, *starts)


def train_tokenizer(
    config: TrainConfig, dataset: Dataset, held_out: Dataset, out: Path, budget: float, device: torch.device, compiled: bool
) -> Tokenizer:
    """First stage: the averaged tokenizer, with its latent scale fitted."""
    stage = config.tokenizer
    height, width, _ = dataset.frame_shape
    grid = stage.model.grid(height, width)
    model = Tokenizer(stage.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = FrameStore(dataset, out / "cache" / "frames.bin", stage.loop.seed)
    loss_of = torch.compile(tokenizer_loss, dynamic=False) if compiled else tokenizer_loss

    def losses(step: int) -> Losses:
        rng = np.random.default_rng((stage.loop.seed, step))
        images = to_images(frames.batch(stage.batch, rng).to(device), torch.bfloat16)
        if config.mirrored and step % 2:
            images = images.flip(-1)
        generator = torch.Generator().manual_seed(stage.loop.seed * 1_000_003 + step)
        shape = (stage.batch, *grid, stage.model.latent_channels)
        scale = torch.rand(stage.batch, 1, 1, 1, generator=generator) * stage.objective.latent_noise
        noise = (torch.randn(shape, generator=generator) * scale).to(device, torch.bfloat16)
        with torch.autocast(device.type, torch.bfloat16):
            loss, square = loss_of(model, images, noise, stage.objective)
        return {"loss": loss, "psnr": -10 * square.log10()}

    def preview(average: nn.Module, step: int) -> None:
        previews.tokenizer(cast(Tokenizer, average), held_out, out / "previews" / f"tokenizer-{step:07d}.png", device)

    loop = Loop(model, losses, stage.loop, out, budget, name="tokenizer", images=stage.batch, preview=preview)
    average = cast(Tokenizer, loop.run()).eval()
    rng = np.random.default_rng(stage.loop.seed)
    with torch.autocast(device.type, torch.bfloat16):
        fit_scale(average, [to_images(frames.batch(64, rng).to(device), torch.bfloat16) for _ in range(32)])
    return average


def train_dynamics(
    config: TrainConfig,
    dataset: Dataset,
    held_out: Dataset,
    tokenizer: Tokenizer,
    out: Path,
    budget: float,
    device: torch.device,
    compiled: bool,
    begun: DiT | None = None,
) -> DiT:
    """Second stage: the averaged transformer, trained on cached latents, from random weights or those of `begun`."""
    stage = config.dynamics
    store = LatentStore(dataset, tokenizer, out / "cache" / "latents.bin", device, config.mirrored)
    sizes = dynamics_config(stage.model, dataset, tokenizer)
    model = (_new_model(sizes, store, stage.loop.seed) if begun is None else _same_model(sizes, begun)).to(device)
    loop_config = stage.loop if begun is None else replace(stage.loop, learning_rate=stage.loop.learning_rate * RESTART)
    net = cast(DiT, torch.compile(model, dynamic=False)) if compiled else model
    short_share, halves = stage.short_share if begun is None else 0.0, 0

    def losses(step: int) -> Losses:
        nonlocal halves
        before, halves = halves, 2 if loop.progress < short_share else 1
        if halves != before:
            loop.uncounted = UNCOUNTED
        rng = np.random.default_rng((stage.loop.seed, step))
        rows, context = stage.batch * halves, stage.frames // halves
        windows, end_windows, excess = dynamics.draw_windows(store, rows, context, stage.objective.ending_share, rng)
        causal = bool(rng.random() >= stage.objective.bidirectional_share)
        objective = stage.objective if causal else replace(stage.objective, copies=0)
        batch = dynamics.make_batch(windows, objective, device, stage.loop.seed * 1_000_003 + step, end_windows, excess)
        with torch.autocast(device.type, torch.bfloat16):
            return dynamics.losses(net, batch, stage.objective, causal)

    def preview(average: nn.Module, step: int) -> None:
        previews.dynamics(cast(DiT, average), tokenizer, held_out, out / "previews" / f"dynamics-{step:07d}.png", device)

    frames = stage.batch * stage.frames * (1 + stage.objective.copies)
    loop = Loop(
        model,
        losses,
        loop_config,
        out,
        budget,
        name="dynamics",
        images=frames,
        flops=training_flops(model, frames, store.latents.shape[1] * store.latents.shape[2], stage),
        peak=matmul_rate(device),
        preview=preview,
    )
    average = cast(DiT, loop.run()).eval()
    context_level, seed = WorldConfig.context_level, stage.loop.seed
    calibrate_ends(average, store, context_level, seed=seed)
    play = {"num_steps": config.num_steps, "context_level": context_level, "draw_level": WorldConfig.draw_level}
    calibrate_codes(average, store, stage.calibration, play, seed=seed)
    return average


def _new_model(sizes: DiTConfig, store: LatentStore, seed: int) -> DiT:
    """Random weights, and codewords fitted to the latents."""
    model = DiT(sizes)
    if sizes.codes:
        model.codebook.copy_(fit_codebook(store.latents, sizes.codes, seed))
    return model


def _same_model(sizes: DiTConfig, begun: DiT) -> DiT:
    """The weights of a trained model, none of which depends on the window."""
    if replace(begun.config, window=sizes.window) != sizes:
        raise TrainingError(f"the world to start from has {begun.config}, the preset {sizes}; start from one of its own.")
    model = DiT(sizes)
    model.load_state_dict(begun.state_dict())
    return model


def dynamics_config(model: DiTConfig, dataset: Dataset, tokenizer: Tokenizer) -> DiTConfig:
    return replace(model, controls=dataset.spec.size, latent_channels=tokenizer.config.latent_channels)


def training_flops(model: DiT, frames: int, patches: int, stage: DynamicsStage) -> float:
    """Matrix operations of one training step: forward and backward (three times the forward), plus the two teacher passes."""
    per_token = 2 * sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "modulation" not in name)
    passes = 3 + 2 * round(stage.objective.noise.shortcut_share * stage.batch) / stage.batch
    return passes * per_token * frames * (patches + 1)


def draw_starts(store: LatentStore, count: int, window: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Start contexts: latents `(S, window, h, w, C)` and controls `(S, window, A)`, one per held-out episode while they last."""
    rng = np.random.default_rng(seed)
    fitting = np.flatnonzero(store.lengths >= window)
    if not len(fitting):
        raise TrainingError(f"no held-out episode is {window} frames long, which a start context needs; collect longer ones.")
    chosen = np.resize(rng.permutation(fitting), count)
    clips = [store.window(int(e), int(rng.integers(0, store.lengths[e] - window + 1)), window) for e in chosen]
    latents, controls = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
    return latents.float(), controls.float()
