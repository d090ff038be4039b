"""The worlds of `worldsim transfer`: one per seed, and one of shuffled actions, all trained on the same recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from worldsim.eval.transfer_data import shuffle_controls
from worldsim.train.run import TrainConfig, train


def train_worlds(
    config: TrainConfig,
    data: Path,
    out: Path,
    budget: float,
    seeds: Sequence[int],
    device: str,
    compiled: bool,
    start: str | None = None,
) -> list[Path]:
    """Trains one world per seed, or goes on training it; see `train`.

    Args:
        config: what to train.
        data: dataset with the splits "train" and "eval".
        out: folder that gets a run folder per seed.
        budget: seconds of training for each.
        seeds: of weights, batches and noise.
        device: "auto", "cpu" or "cuda".
        compiled: use torch.compile.
        start: world that all begin with; by default random weights.

    Returns:
        Folders of the worlds.
    """
    runs = [(with_seed(config, seed), out / f"seed-{seed}") for seed in seeds]
    return [train(run, data, folder, budget, device, compiled, start) for run, folder in runs]


def train_shuffled(
    config: TrainConfig, data: Path, out: Path, budget: float, device: str, compiled: bool, start: str | None = None
) -> list[Path]:
    """Trains a world on the same recordings with the actions of other moments; arguments as for `train_worlds`."""
    return train_worlds(config, shuffle_controls(data, out / "data"), out, budget, [0], device, compiled, start)


def with_seed(config: TrainConfig, seed: int) -> TrainConfig:
    """The same run from another seed."""
    stages = {
        name: dataclasses.replace(stage, loop=dataclasses.replace(stage.loop, seed=seed))
        for name, stage in (("tokenizer", config.tokenizer), ("dynamics", config.dynamics))
    }
    return dataclasses.replace(config, **stages)  # type: ignore[arg-type]
