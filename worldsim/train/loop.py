"""The training loop that both stages share: a time budget, schedules, EMA, checkpoints, logs."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from worldsim.device import compute_dtype
from worldsim.errors import ConfigError, TrainingError
from worldsim.train import checkpoint
from worldsim.train.checks import check_fields
from worldsim.train.muon import Muon


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
    compile_steps: int = 3
    stall: float = 5.0
    pause: float = 20.0
    first_checkpoint: float = 20.0
    checkpoint_minutes: float = 2.0
    report_seconds: float = 5.0
    check_every: int = 50

    def __post_init__(self) -> None:
        counts = {"warmup": 1, "ema_warmup": 0, "seed": 0, "compile_steps": 1, "check_every": 1}
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
        if not self.decay:
            raise ConfigError("decay was 0; give a share above 0, such as 0.5.")

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step, with `progress` the share of the budget used."""
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.0, 1 - progress) / self.decay)


TRUNK = ("blocks.", "encoder.", "decoder.")
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}{postfix}]"
CHECKPOINT = ("model", "average", "optimizers", "step", "elapsed")  # what a checkpoint holds
Losses = dict[str, Tensor]


class Loop:
    """Trains one model within a budget of seconds, resuming from its last checkpoint.

    Args:
        model: trained in place.
        losses: `losses(step)` runs the forward pass and returns named scalars; "loss" is minimised.
        config: how to optimise.
        folder: where checkpoints and TensorBoard files go.
        budget: seconds of training in all, earlier runs included.
        name: of the stage.
        images: images or frames per step, for the rate shown.
        flops: floating-point operations per step, for the share of the machine's rate; 0 if unknown.
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
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.optimizers = make_optimizers(model, config)
        self.step, self.elapsed, self.usual = 0, 0.0, math.inf
        self.uncounted = config.compile_steps
        self.path = folder / f"{name}.ckpt"
        self.log = _summary_writer(folder / "logs" / name)

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
        with tqdm(total=round(self.budget), initial=round(self.elapsed), desc=f"training {self.name}", bar_format=BAR) as bar:
            while self.elapsed < self.budget:
                if self.uncounted == self.config.compile_steps:
                    bar.set_postfix_str("first steps, which may compile and do not count")
                begun = time.monotonic()
                due = begun - reported > self.config.report_seconds
                parts = self.train_step(due)
                now = time.monotonic()
                self.elapsed += self._count(now - begun)
                bar.update(min(round(self.elapsed), bar.total) - bar.n)
                if due:
                    self._report(bar, parts, now - begun)
                    reported = now
                if now > due_at:
                    self.save()
                    due_at = time.monotonic() + 60 * self.config.checkpoint_minutes
        if self.step > first:
            self.save()
        self.log.close()
        return self.average

    def _count(self, seconds: float) -> float:
        """What of a step's seconds counts toward the budget."""
        if self.uncounted:
            self.uncounted -= 1
            self.usual = min(self.usual, seconds)
            return 0.0
        counted = min(seconds, max(self.config.stall * self.usual, self.config.pause))
        self.usual += 0.1 * (counted - self.usual)
        return counted

    def train_step(self, due: bool = False) -> Losses:
        """One step of the optimizers; `due` where losses are going to be reported."""
        rate = self.config.rate(self.step, self.progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        parts = self.losses(self.step)
        if due or self.step % self.config.check_every == 0:
            self._check(parts)
        parts["loss"].backward()
        parts["gradient"] = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        decay = min(self.config.ema, self.step / (self.step + self.config.ema_warmup))
        update_average(self.average, self.model, decay)
        return parts

    def _check(self, parts: Losses) -> None:
        bad = [name for name, value in parts.items() if not math.isfinite(float(value.detach()))]
        if bad:
            raise TrainingError(
                f"{self.name}: {', '.join(bad)} not finite at step {self.step}. The last good checkpoint is kept in {self.path}; "
                "run again to resume from it, with a lower learning rate if this repeats."
            )

    def _report(self, bar: Any, parts: Losses, seconds: float) -> None:
        values = {name: float(value.detach()) for name, value in parts.items()}
        shown = {name: f"{value:.4g}" for name, value in values.items() if name != "gradient"}
        share = f"{self.flops / seconds / self.peak:.0%}" if self.flops else "-"
        bar.set_postfix(step=self.step, rate=f"{self.images / seconds:.0f}/s", gemm=share, **shown)
        self._log({**values, "images_per_second": self.images / seconds, "elapsed": self.elapsed})

    def _log(self, values: dict[str, float]) -> None:
        try:
            for name, value in values.items():
                self.log.add_scalar(name, value, self.step)
        except OSError as error:
            raise TrainingError(
                f"cannot write logs below {self.folder / 'logs'}: {error.strerror}. Free some space, then run again to resume."
            ) from error

    def save(self) -> None:
        """Writes a checkpoint, unless the weights are no longer finite."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise TrainingError(
                f"{self.name}: weights are not finite at step {self.step}; the last good checkpoint is kept in {self.path}."
            )
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        values = (self.model.state_dict(), self.average.state_dict(), optimizers, self.step, self.elapsed)
        checkpoint.save(self.path, dict(zip(CHECKPOINT, values, strict=True)))
        if self.preview is not None and self.step:
            self.preview(self.average, self.step)

    def resume(self) -> bool:
        """Goes back to the last checkpoint; returns whether there is one.

        Raises:
            TrainingError: if it is damaged, or of another model; the message names the file.
        """
        state = checkpoint.load(self.path)
        if state is None:
            return False
        try:
            step, elapsed = int(state["step"]), float(state["elapsed"])
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
                _fill(optimizer, values)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise TrainingError(
                f"the checkpoint {self.path} does not fit this configuration ({type(error).__name__}: {reason}). "
                "Use another run folder, or delete the file to begin this stage again."
            ) from error
        self.step, self.elapsed = step, elapsed
        return True


def _fill(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Loads what an optimizer has gathered; its settings stay those of the configuration."""
    groups = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in groups] != [group["params"] for group in state["param_groups"]]:
        raise ValueError("optimizers of other parameters")
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})


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


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights toward the model's."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError('training logs need tensorboard: pip install "worldsim-dit[train]".') from error
    return SummaryWriter(str(folder))
