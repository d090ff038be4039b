"""The whole of `worldsim train`: dataset -> tokenizer -> cached latents -> dynamics -> world folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worldsim.errors import TrainingError
from worldsim.train import distributed
from worldsim.train.config import Run, TrainConfig
from worldsim.train.export import export
from worldsim.train.plan import Plan, make_plan
from worldsim.train.stages import train_dynamics, train_tokenizer
from worldsim.train.start import Start, holding, load_start
from worldsim.world import world_hash


@dataclass(frozen=True)
class Trained:
    """What a run made, as `worldsim train` prints it.

    Attributes:
        world: its folder.
        hash: names it.
        data: dataset that it was trained on.
        plan: what was announced.
        seconds: that it took, of this call alone.
    """

    world: Path
    hash: str
    data: Path
    plan: Plan
    seconds: float

    def __str__(self) -> str:
        return f"{self.world}\nplay it: worldsim play {self.world}\nmeasure it: worldsim eval {self.world} --data {self.data}"

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        return {"world": str(self.world), "hash": self.hash, "budget_s": self.plan.budget, "wall_s": self.seconds}


def train(
    config: TrainConfig,
    data: str | Path,
    out: str | Path,
    budget: float,
    device: str = "auto",
    compiled: bool = True,
    start: str | Path | None = None,
) -> Trained:
    """Trains a world, or goes on training it. The same call again resumes, wherever the one before was stopped.

    In the processes of torchrun it trains one world with all of them; see `worldsim.train.distributed`.

    Args:
        config: what to train.
        data: dataset with the splits "train" and "eval".
        out: run folder: checkpoints, logs, previews, and the finished `world/`.
        budget: as in `TrainOptions`, but in seconds.
        device: as in `TrainOptions`.
        compiled: the option `compile` there.
        start: as in `TrainOptions`; named as for `World.load`. It may have another window, and be without
            codewords. A tokenizer that never saw mirrored frames draws them badly, so training is mirrored only if
            the world's was.

    Raises:
        TrainingError, DataError, FileError, WorldError: with what to do next.
    """
    if not budget > 0:
        raise TrainingError(f"budget was {budget} seconds; give more than 0, such as 2h.")
    with distributed.joined():
        return _run(config, data, out, budget, device, compiled, start)


def _run(
    config: TrainConfig, data: str | Path, out: str | Path, budget: float, device: str, compiled: bool, start: str | Path | None
) -> Trained:
    begun_at = time.monotonic()
    run = Run.open(config, data, out, device, compiled)
    begun = None if start is None else load_start(start)
    if begun is not None:
        run = replace(run, config=replace(config, mirrored=config.mirrored and begun.config.mirrored))
    with holding(run.folder, run.config, begun):
        plan = distributed.tell(make_plan(run, budget, begun) if distributed.is_main() else None)
        assert plan is not None
        if distributed.is_main():
            plan.check_room(run.folder)
            print(plan, flush=True)
        torch.manual_seed(config.dynamics.loop.seed)
        world = _train(run, budget, begun)
    return Trained(world, world_hash(world), run.dataset.root, plan, time.monotonic() - begun_at)


def _train(run: Run, budget: float, begun: Start | None) -> Path:
    if begun is None:
        first = budget * run.config.tokenizer_share
        tokenizer = train_tokenizer(run, first)
        model = train_dynamics(run, tokenizer, budget - first)
    else:
        tokenizer = begun.tokenizer.to(run.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        model = train_dynamics(run, tokenizer, budget, begun.dynamics)
    return export(run, tokenizer, model)
