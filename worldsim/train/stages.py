"""The two stages of training: the tokenizer on frames, then the dynamics on latents."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import nn

from worldsim.device import autocast, compute_dtype, matmul_rate
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.train import distributed, dynamics, previews
from worldsim.train.ahead import Ahead
from worldsim.train.calibrate import calibrate_codes, calibrate_ends
from worldsim.train.config import DynamicsStage, Run
from worldsim.train.imagine import imagine_context
from worldsim.train.loop import Loop, Losses
from worldsim.train.start import first_weights
from worldsim.train.store import FrameStore, LatentStore, Windows
from worldsim.train.tokenizer import fit_scale, tokenizer_loss

SEEDS = 1_000_003  # seeds of batches of one run lie apart from those of the next


def train_tokenizer(run: Run, budget: float) -> Tokenizer:
    """First stage: the averaged tokenizer, with its latent scale fitted.

    Args:
        run: what to train, on which recordings, where.
        budget: seconds of training.
    """
    stage, device = run.config.tokenizer, run.device
    dtype = compute_dtype(device)
    height, width, _ = run.dataset.frame_shape
    grid = stage.model.grid(height, width)
    model = Tokenizer(stage.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = FrameStore(run.dataset, run.cache("frames.bin"), stage.loop.seed, run.config.cache)
    loss_of = torch.compile(tokenizer_loss, dynamic=False) if run.compiled else tokenizer_loss

    def losses(i: int) -> Losses:
        rng = np.random.default_rng((stage.loop.seed, i))
        images = to_images(frames.batch(stage.batch, rng).to(device), dtype)
        if run.config.mirrored and i % 2:
            images = images.flip(-1)
        generator = torch.Generator("cpu").manual_seed(stage.loop.seed * SEEDS + i)
        shape = (stage.batch, *grid, stage.model.latent_channels)
        scale = torch.rand(stage.batch, 1, 1, 1, generator=generator, dtype=torch.float32, device="cpu")
        noise = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        noise = (noise * scale * stage.objective.latent_noise).to(device, dtype)
        with autocast(device):
            loss, square = loss_of(model, images, noise, stage.objective)
        return {"loss": loss, "psnr": -10 * square.log10()}

    def preview(average: nn.Module, step: int) -> None:
        path = run.preview("tokenizer", step)
        previews.tokenizer(cast(Tokenizer, average), run.held_out, path, device, run.config.previews)

    loop = Loop(model, losses, stage.loop, run.folder, budget, name="tokenizer", images=stage.batch, preview=preview)
    average = cast(Tokenizer, loop.run()).eval()
    rng = np.random.default_rng(stage.loop.seed)
    batches = max(1, stage.scale_images // stage.batch)
    with autocast(device):
        fit_scale(average, (to_images(frames.batch(stage.batch, rng).to(device), dtype) for _ in range(batches)))
    distributed.equalize(average)
    return average


def train_dynamics(run: Run, tokenizer: Tokenizer, budget: float, begun: DiT | None = None) -> DiT:
    """Second stage: the averaged transformer, trained on cached latents.

    Args:
        run: what to train, on which recordings, where.
        tokenizer: that encodes the frames.
        budget: seconds of training.
        begun: weights to go on from; random ones by default.
    """
    stage, device = run.config.dynamics, run.device
    store = LatentStore(run.dataset, tokenizer, run.cache("latents.bin"), device, run.config.mirrored, run.config.cache)
    model = first_weights(run, store, tokenizer, begun, stage.codebook.share * budget).to(device)
    if begun is not None:
        stage = replace(stage, short_share=0.0, loop=replace(stage.loop, learning_rate=stage.loop.learning_rate * stage.restart))
    loop = dynamics_loop(run, stage, model, store, tokenizer, budget)
    average = cast(DiT, loop.run()).eval().to(device)
    if distributed.is_main():  # the others have nothing to do with what follows
        calibrate(run, average, store, budget)
    return average


def dynamics_loop(run: Run, stage: DynamicsStage, model: DiT, store: LatentStore, tokenizer: Tokenizer, budget: float) -> Loop:
    """The loop that trains the dynamics in place."""
    device, seed = run.device, stage.loop.seed
    net = cast(DiT, torch.compile(model, dynamic=False)) if run.compiled else model
    shape: tuple[bool, ...] | None = None

    def draw(wanted: tuple[int, int, int]) -> tuple[Windows, int, float, np.random.Generator]:
        i, rows, frames = wanted
        rng = np.random.default_rng((seed, i))
        return (*dynamics.draw_windows(store, rows, frames, stage.objective.ending_share, rng), rng)

    drawn = Ahead(draw)

    def losses(i: int) -> Losses:
        nonlocal shape
        left = 1 - loop.progress
        before, shape = shape, (loop.progress < stage.short_share, left <= stage.teacher_share, left <= stage.imagined_share)
        if shape != before:
            loop.shapes_change()
        halves = 2 if shape[0] else 1
        rows, frames = stage.batch * halves, stage.frames // halves
        windows, end_windows, excess, rng = drawn.take((i, rows, frames), (i + distributed.count(), rows, frames))
        causal = bool(rng.random() >= stage.objective.bidirectional_share)
        objective = stage.objective if shape[1] else stage.objective.without_shortcuts()
        objective = objective if causal else replace(objective, copies=0)
        batch = dynamics.make_batch(windows, objective, device, seed * SEEDS + i, end_windows, excess)
        with autocast(device):
            if shape[2] and causal:
                count = round(stage.imagined_rows * rows)
                batch = imagine_context(net, batch, count, stage.imagined_depth, seed * SEEDS + i)
            return dynamics.losses(net, batch, objective, causal)

    def preview(average: nn.Module, step: int) -> None:
        path = run.preview("dynamics", step)
        previews.dynamics(cast(DiT, average), tokenizer, run.held_out, path, device, run.config.previews)

    frames = stage.batch * stage.frames
    loop = Loop(
        model,
        losses,
        stage.loop,
        run.folder,
        budget,
        name="dynamics",
        images=frames,
        flops=training_flops(model, stage, store.latents.shape[1] * store.latents.shape[2]),
        peak=matmul_rate(device) if distributed.is_main() else 1,
        preview=preview,
    )
    return loop


def calibrate(run: Run, model: DiT, store: LatentStore, budget: float) -> None:
    """Makes ends and codewords as frequent as in the recordings, within shares of the budget."""
    config, stage = run.config, run.config.dynamics
    seed = stage.loop.seed
    calibrate_ends(model, store, config.context_level, stage.ends, seed, stage.ends.share * budget)
    play = {name: getattr(config, name) for name in ("num_steps", "context_level", "draw_level", "rounds")}
    calibrate_codes(model, store, stage.calibration, play, seed, stage.calibration.share * budget)


def training_flops(model: DiT, stage: DynamicsStage, patches: int) -> float:
    """Matrix operations of one training step: forward and backward (three times the forward), plus the two teacher passes.

    The context is seen by all layers up to the last temporal one, and by no head.
    """
    last = max(i for i in range(model.config.depth) if model.config.kind(i) != "space")
    shared = ("patch.", "register.", *(f"blocks.{i}." for i in range(last + 1)))
    operations = 0
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "modulation" not in name:
            seen = 1 + stage.objective.copies if name.startswith(shared) else max(1, stage.objective.copies)
            operations += 2 * weight.numel() * seen
    passes = 3 + 2 * round(stage.objective.noise.shortcut_share * stage.batch) / stage.batch
    return passes * operations * stage.batch * stage.frames * (patches + 1)
