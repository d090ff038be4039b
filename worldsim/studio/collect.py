"""Records the studio's data: one game at several picture sizes, a dataset each, with captions."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import GameSpec, make_policy
from worldsim.errors import DataError
from worldsim.studio.captioning import NEEDED, caption_all

SIZES: Mapping[tuple[int, int], float] = {(96, 64): 0.6, (64, 96): 0.13, (80, 80): 0.13, (112, 80): 0.14}  # width, height: share


def record_game(
    game: GameSpec, out: Path, *, policies: Mapping[str, float], processes: int | None = None, **options: Any
) -> dict[str, Any]:
    """Records a game with a mixture of policies, given as shares by name; options as for `worldsim.data.collect.collect`."""
    for name in policies:
        make_policy(name, game.control_spec)  # raises now rather than in a process
    make = {name: functools.partial(make_policy, name, game.control_spec) for name in policies}
    sources = [PolicySource(name, make[name], share) for name, share in policies.items()]
    about: dict[str, Any] = {"game": game.name, "state": game.states, "cells": game.cells, "about": game.source}
    return collect(game.start, sources, out, processes=processes or os.cpu_count() or 1, **about, **options)


def record_studio(
    game: GameSpec, out: Path, *, frames: int, eval_frames: int, seed: int = 0, processes: int | None = None
) -> dict[str, dict[str, int]]:
    """Records a game at several sizes and captions it, for training and, in a folder beside it, held out.

    The same call again resumes. Args as for `record_sizes`; the held-out folder is named like `out`, with "-eval" after it.

    Returns:
        Folder of each dataset -> numbers of episodes, frames and captions.

    Raises:
        DataError: if the game has no state of which captions are made.
    """
    missing = [name for name in NEEDED if name not in game.states]
    if missing:
        raise DataError(f"the game {game.name} has no state {missing[0]!r}, of which captions are made; give doom/studio.")
    roots: list[Path] = []
    for folder, split, count in ((out, "train", frames), (out.with_name(f"{out.name}-eval"), "eval", eval_frames)):
        if count:
            roots += record_sizes(game, folder, frames=count, split=split, seed=seed, processes=processes).values()
    return caption_all(roots, seed=seed)


def record_sizes(
    game: GameSpec,
    out: Path,
    *,
    frames: int,
    split: str = "train",
    seed: int = 0,
    processes: int | None = None,
    sizes: Mapping[tuple[int, int], float] = SIZES,
) -> dict[str, Path]:
    """Records a game at several picture sizes, each into a dataset of its own; the same call again resumes.

    Args:
        game: with the options `height` and `width`.
        out: folder of the datasets, each named after its size, such as "96x64" (width x height).
        frames: over all sizes.
        split: "train", or "eval" for held-out episodes, whose seeds training never sees.
        seed: of all episodes; each size has other ones.
        processes: games played at a time; by default one per core.
        sizes: width and height in pixels -> share of the frames.

    Returns:
        Folder of each dataset by name.
    """
    folders = {}
    for number, ((width, height), share) in enumerate(sizes.items()):
        name = f"{width}x{height}"
        sized = replace(game, height=height, width=width, make=functools.partial(game.start, height=height, width=width))
        wanted = round(frames * share / sum(sizes.values()))
        counts = {"frames": wanted, "eval_frames": 0} if split == "train" else {"frames": 0, "eval_frames": wanted}
        record_game(
            sized,
            out / name,
            policies=game.policies,
            processes=processes,
            seed=len(sizes) * seed + number,
            **counts,
        )
        folders[name] = out / name
    return folders
