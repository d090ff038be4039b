"""The training loop that both stages share: a time budget, schedules, EMA, checkpoints, logs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from worldsim.device import compute_dtype
from worldsim.errors import ConfigError, TrainingError, check_choice
from worldsim.train import distributed
from worldsim.train.checks import check_fields
from worldsim.train.engine import Average, Engine, Losses, local, whole
from worldsim.train.muon import Muon
from worldsim.train.saving import Keeper, Position


@dataclass(frozen=True)
class LoopConfig:
    """How a stage is optimised.

    Attributes:
        learning_rate: peak rate, of Muon for the matrices inside the trunk and of AdamW for everything else.
        weight_decay: of matrices.
        momentum: of Muon.
        betas: of AdamW.
        warmup: steps of linear warm-up.
        decay: last share of the budget in which the rate falls linearly to zero.
        clip: largest gradient norm.
        ema: decay of the averaged weights, which are the ones kept.
        ema_warmup: the average is over fewer steps at first: after `n` steps its decay is at most `n / (n + ema_warmup)`.
        seed: of weights, batches and noise.
        batches: that make one step, shared by all processes, so that runs on 1, 2 or 4 of them see the same windows; 0 for one
            batch per process of the first start. Fewer processes than batches take several each in turn.
        sharding: of the model and all that belongs to it over the processes: "replicate" keeps everything in each (DDP), "shard"
            gives each a share (FSDP2), "auto" shards models of more than `shard_above` weights.
        shard_above: see `sharding`. A weight takes 20 bytes: itself, its gradient and average, and two of the optimizer.
        compile_steps: steps after a start, or a change of shapes, that may compile and so do not count toward the budget.
        stall: a step counts as at most so many times the usual one, or `pause` if that is more: a suspended machine does not use
            the budget up.
        pause: seconds that any step may count, so that the budget holds on a busy machine, whose steps differ widely.
        first_checkpoint: seconds until the first checkpoint with trained weights.
        checkpoint_minutes: minutes between later ones.
        report_seconds: seconds between reports.
        check_every: steps between checks that the loss is finite.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.97)
    warmup: int = 100
    decay: float = 0.5
    clip: float = 1.0
    ema: float = 0.998
    ema_warmup: int = 10
    seed: int = 0
    batches: int = 0
    sharding: str = "auto"
    shard_above: int = 500_000_000
    compile_steps: int = 3
    stall: float = 5.0
    pause: float = 20.0
    first_checkpoint: float = 20.0
    checkpoint_minutes: float = 2.0
    report_seconds: float = 5.0
    check_every: int = 50

    def __post_init__(self) -> None:
        counts = {"warmup": 1, "ema_warmup": 0, "seed": 0, "batches": 0, "shard_above": 0, "compile_steps": 1, "check_every": 1}
        numbers = {
            "learning_rate": 0,
            "weight_decay": 0,
            "clip": 0,
            "stall": 1,
            "pause": 0,
            "first_checkpoint": 0,
            "checkpoint_minutes": 0,
        }
        check_fields(self, counts, numbers, ("momentum", "decay", "ema"))
        check_choice("sharding", self.sharding, ("auto", "replicate", "shard"))
        if not self.decay:
            raise ConfigError("decay was 0; give a share above 0, such as 0.5.")

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step, with `progress` the share of the budget used."""
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.0, 1 - progress) / self.decay)


TRUNK = ("blocks.", "encoder.", "decoder.")
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}{postfix}]"


class Loop:
    """Trains one model within a budget of seconds, resuming from its last checkpoint.

    Args:
        model: trained in place.
        losses: `losses(i)` runs the forward pass of batch `i`, counted from the beginning of training, and returns named scalars;
            "loss" is minimised.
        config: how to optimise.
        folder: where checkpoints and TensorBoard files go.
        budget: seconds of training in all, earlier runs included.
        name: of the stage.
        images: images or frames per batch, for the rate shown.
        flops: floating-point operations per batch, for the share of the machine's rate; 0 if unknown.
        peak: the machine's measured matrix rate in FLOP/s.
        preview: called with the averaged model and the step at every checkpoint.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Callable[[int], Losses],
        config: LoopConfig,
        folder: Path,
        budget: float,
        *,
        name: str,
        images: int,
        flops: float = 0,
        peak: float = 1,
        preview: Callable[[nn.Module, int], None] | None = None,
    ):
        self.model, self.losses, self.config, self.budget, self.name = model, losses, config, budget, name
        self.folder, self.images, self.flops, self.peak, self.preview = folder, images, flops, peak, preview
        self.batches = _batches_of_a_step(config)
        sharded = is_sharded(model, config)
        self.ema = Average(model, sharded)
        self.engine = Engine(model, lambda i: self.losses(i), sharded)
        self.optimizers = make_optimizers(model, config)
        self.step, self.drawn, self.elapsed, self.usual = 0, 0, 0.0, math.inf
        self.uncounted = config.compile_steps
        self.path = folder / f"{name}.ckpt"
        self.keeper = Keeper(self.path, model, self.ema, self.optimizers)
        self.log = _summary_writer(folder / "logs" / name) if distributed.is_main() else None

    @property
    def average(self) -> nn.Module:
        """The averaged model; of a sharded one, as it was when it was last put together."""
        return self.ema.module

    @property
    def progress(self) -> float:
        """Share of the budget that is used."""
        return self.elapsed / self.budget

    def shapes_change(self) -> None:
        """To be called where the shapes of batches change: the next steps may compile, and do not count."""
        self.uncounted = self.config.compile_steps

    def run(self) -> nn.Module:
        """Trains to the end of the budget; returns the averaged model.

        Raises:
            TrainingError: on a loss that is not finite; the last good checkpoint stays.
        """
        if not self.resume():
            self.save()  # a disk without room for it is found before the work, not after
        begun_at, first, reported = time.monotonic(), self.step, time.monotonic()
        due_at = begun_at + self.config.first_checkpoint
        due = False
        with self._bar() as bar:
            while self.elapsed < self.budget:
                if self.uncounted == self.config.compile_steps:
                    bar.set_postfix_str("first steps, which may compile and do not count")
                begun = time.monotonic()
                parts = self.train_step(due)
                now = time.monotonic()
                if due:
                    self._report(bar, parts, now - begun)
                    reported = now
                # The clock of the first process is that of all, so that they stop at the same step.
                clock = now - begun, now - reported > self.config.report_seconds, now > due_at
                seconds, *asked = distributed.agree(clock)
                due, late = map(bool, asked)
                self.elapsed += self._count(seconds)
                bar.update(min(round(self.elapsed), bar.total) - bar.n)
                if late:
                    self.save()
                    due_at = time.monotonic() + 60 * self.config.checkpoint_minutes
        if self.step > first:
            self.save()
        self.keeper.finish()
        if self.log is not None:
            self.log.close()
        return self.ema.whole()

    def _bar(self) -> Any:
        total, done, hidden = round(self.budget), round(self.elapsed), not distributed.is_main()
        return tqdm(total=total, initial=done, desc=f"training {self.name}", bar_format=BAR, disable=hidden)

    def _count(self, seconds: float) -> float:
        """What of a step's seconds counts toward the budget."""
        if self.uncounted:
            self.uncounted -= 1
            self.usual = min(self.usual, seconds)
            return 0.0
        counted = min(seconds, max(self.config.stall * self.usual, self.config.pause))
        self.usual += 0.1 * (counted - self.usual)
        return counted

    def train_step(self, due: bool = False) -> dict[str, float]:
        """One step of the optimizers; returns its losses, if they are `due` to be reported."""
        rate = self.config.rate(self.step, self.progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        sums, parts = self.engine.backward(self.drawn, self.batches), {}
        if due or self.step % self.config.check_every == 0:
            parts = self.engine.mean(sums, self.batches)
            self._check(parts)
        gradient = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if due:
            parts["gradient"] = float(whole(gradient))
        for optimizer in self.optimizers:
            optimizer.step()
        self.step, self.drawn = self.step + 1, self.drawn + self.batches
        self.ema.update(self.model, min(self.config.ema, self.step / (self.step + self.config.ema_warmup)))
        return parts

    def _check(self, parts: dict[str, float]) -> None:
        bad = [name for name, value in parts.items() if not math.isfinite(value)]
        if bad:
            raise TrainingError(
                f"{self.name}: {', '.join(bad)} not finite at step {self.step}. The last good checkpoint is kept in {self.path}; "
                "run again to resume from it, with a lower learning rate if this repeats."
            )

    def _report(self, bar: Any, parts: dict[str, float], seconds: float) -> None:
        shown = {name: f"{value:.4g}" for name, value in parts.items() if name != "gradient"}
        rate = self.images * self.batches / seconds
        used = self.flops * self.batches / distributed.count() / seconds
        bar.set_postfix(step=self.step, rate=f"{rate:.0f}/s", gemm=f"{used / self.peak:.0%}" if self.flops else "-", **shown)
        self._log({**parts, "images_per_second": rate, "elapsed": self.elapsed})

    def _log(self, values: dict[str, float]) -> None:
        if self.log is None:
            return
        try:
            for name, value in values.items():
                self.log.add_scalar(name, value, self.step)
        except OSError as error:
            raise TrainingError(
                f"cannot write logs below {self.folder / 'logs'}: {error.strerror}. Free some space, then run again to resume."
            ) from error

    def save(self) -> None:
        """Writes a checkpoint, unless the weights are no longer finite."""
        if not all(bool(p.isfinite().all()) for p in local(self.model.parameters())):
            raise TrainingError(
                f"{self.name}: weights are not finite at step {self.step}; the last good checkpoint is kept in {self.path}."
            )
        self.keeper.save(Position(self.step, self.drawn, self.elapsed, self.batches))
        if self.preview is not None and self.step:
            average = self.ema.whole()
            if distributed.is_main():
                self.preview(average, self.step)

    def resume(self) -> bool:
        """Goes back to the last checkpoint; returns whether there is one.

        Raises:
            TrainingError: if it is damaged, or of another model; the message names the file.
        """
        position = self.keeper.resume()
        if position is None:
            return False
        self.step, self.drawn, self.elapsed = position.step, position.drawn, position.elapsed
        if not self.config.batches:
            self.batches = max(position.batches, distributed.count())
        return True


def make_optimizers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the trunk, AdamW for embeddings, heads and vectors."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith(TRUNK)]
    inside = {id(p) for p in matrices}
    rest: Iterable[nn.Parameter] = [p for p in model.parameters() if id(p) not in inside]
    adam = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=config.betas,
        fused=True,
    )
    if not matrices:
        return [adam]
    dtype = compute_dtype(matrices[0].device)
    muon = Muon(matrices, config.learning_rate, config.momentum, config.weight_decay, dtype)
    return [muon, adam]


def is_sharded(model: nn.Module, config: LoopConfig) -> bool:
    """Whether each process keeps only a share of a model."""
    if distributed.count() == 1 or config.sharding == "replicate":
        return False
    return config.sharding == "shard" or sum(p.numel() for p in model.parameters()) > config.shard_above


def _batches_of_a_step(config: LoopConfig) -> int:
    processes = distributed.count()
    if config.batches and config.batches < processes:
        raise ConfigError(f"batches was {config.batches}, and {processes} processes train; give at least as many batches a step.")
    return config.batches or processes


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError('training logs need tensorboard: pip install "worldsim-dit[train]".') from error
    return SummaryWriter(str(folder))
