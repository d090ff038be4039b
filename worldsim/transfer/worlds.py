"""The worlds of `worldsim transfer`: one per seed, and one of shuffled actions, all trained on the same recordings; and one
that is trained further on what policies met in the real game."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldsim.data import Dataset
from worldsim.data.format import data_path, episode_path
from worldsim.data.tables import read_rows, write_episode, write_rows
from worldsim.envs.games import GameSpec
from worldsim.train.config import TrainConfig
from worldsim.train.run import train
from worldsim.transfer.config import TransferConfig


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
        device, compiled, start: as for `worldsim.train.run.train`.

    Returns:
        Folders of the worlds.
    """
    runs = [(with_seed(config, seed), out / f"seed-{seed}") for seed in seeds]
    return [train(run, data, folder, budget, device, compiled, start).world for run, folder in runs]


def train_shuffled(
    config: TrainConfig, data: Path, out: Path, budget: float, device: str, compiled: bool, start: str | None = None
) -> list[Path]:
    """Trains a world on the same recordings with the actions of other moments; arguments as for `train_worlds`."""
    return train_worlds(config, shuffle_controls(data, out / "data"), out, budget, [0], device, compiled, start)


def refit_world(
    config: TrainConfig,
    world: Path,
    policies: Sequence[Path],
    data: Path,
    out: Path,
    frames: int,
    budget: float,
    device: str,
    compiled: bool,
    learner: TransferConfig,
    processes: int = 1,
    game: str | GameSpec | None = None,
) -> tuple[Path, Path]:
    """Trains a world further on its recordings and on what policies met that were trained in it.

    Args:
        config: what to train.
        world: to begin with.
        policies: files of them.
        data: dataset that the world was trained on.
        out: folder that gets a folder for these policies and frames, with the larger dataset and a run folder.
        frames: to add.
        budget: seconds of further training.
        device, compiled: as for `worldsim.train.run.train`.
        learner: that the policies were trained with.
        processes: games played at a time.
        game: the real game, where it is not registered under the name in the dataset; see `find_game`.

    Returns:
        Folders of the world and of the larger dataset.
    """
    from worldsim.transfer.refit import record_policies

    made_from = hashlib.sha256(b"".join(path.read_bytes() for path in policies) + str(frames).encode())
    out = out / made_from.hexdigest()[:16]
    larger = record_policies(world, policies, data, out / "data", frames, learner, processes=processes, game=game)
    return train(config, larger, out / "run", budget, device, compiled, world).world, larger


def with_seed(config: TrainConfig, seed: int) -> TrainConfig:
    """The same training from another seed."""
    stages = {
        name: dataclasses.replace(stage, loop=dataclasses.replace(stage.loop, seed=seed))
        for name, stage in (("tokenizer", config.tokenizer), ("dynamics", config.dynamics))
    }
    return dataclasses.replace(config, **stages)  # type: ignore[arg-type]


def shuffle_controls(source: Path, out: Path) -> Path:
    """Copies a dataset and gives every frame the action of another moment, half the dataset away; the videos are linked.

    Actions keep their frequencies and durations, but no longer have anything to do with the frames.

    Returns:
        `out`, which appears once it is complete.
    """
    if out.exists():
        return out
    partial = copy_dataset(source, out)
    dataset = Dataset(source)
    everything = dataset.rows.actions
    actions = np.split(np.roll(everything, len(everything) // 2, axis=0), dataset.offsets[1:-1])
    for i, episode in enumerate(dataset.episodes):
        path = data_path(partial, episode.index)
        rows = dataclasses.replace(read_rows(path, dataset.info), actions=actions[i])
        write_rows(path, rows, episode, dataset.info)
        if episode.content_hash is None:  # an older recording: the copy keeps the fingerprint of what was recorded
            named = dataclasses.replace(episode, content_hash=dataset.content_hash(i))
            write_episode(episode_path(partial, episode.index), named, dataset.info, {})
    partial.rename(out)
    return out


def copy_dataset(source: Path, out: Path) -> Path:
    """Copies a dataset, in place of an unfinished copy; files are linked where the file system allows it.

    Returns:
        The copy, beside `out` under a name that nobody else gives; to be renamed.
    """
    target = out.with_name(f".{out.name}.worldsim-copy")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=_link)
    return target


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
