"""`worldsim collect`, `data merge` and `data check`: recordings of games."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from worldsim.cli.options import Json, check_least, write_json
from worldsim.errors import printable

if TYPE_CHECKING:
    from worldsim.envs.games import GameSpec
    from worldsim.presets import Collection


def collect(
    game: Positional[str],
    *,
    out: Path | None = None,
    frames: int | None = None,
    eval_frames: int | None = None,
    policy: str = "auto",
    processes: int | None = None,
    seed: int = 0,
    lossless: bool = False,
    json: Json = None,
) -> None:
    """Records a game.

    Args:
        game: such as doom/take-cover, or module:attribute of a GameSpec of your own.
        out: folder of the dataset; by default data/ and the game's name.
        frames: training frames; by default what the game's world is trained on.
        eval_frames: held-out frames, from episodes that training never sees.
        policy: who plays: random, pacing, sweeping, coverage, restless, or module:function of your own; "auto" is the
            mixture that the game declares.
        processes: games played at a time; by default one per core.
        seed: of all episodes.
        lossless: store frames bit for bit.
    """
    check_least(0, frames=frames, eval_frames=eval_frames, seed=seed)
    check_least(1, processes=processes)
    from worldsim.data.coverage import format_coverage
    from worldsim.envs.games import find_game
    from worldsim.presets import find_collection

    spec = find_game(game)
    wanted = find_collection(spec.name)
    figures = record_game(
        spec,
        out or Path("data") / spec.name,
        frames=wanted.frames if frames is None else frames,
        eval_frames=wanted.eval_frames if eval_frames is None else eval_frames,
        policies=spec.policies if policy == "auto" else {policy: 1.0},
        processes=processes,
        seed=seed,
        lossless=lossless,
    )
    print(format_coverage(figures))
    write_json(json, figures)


def merge(sources: Positional[tuple[str, ...]], *, out: Path, eval_share: float | None = None, json: Json = None) -> None:
    """Joins recordings; one that is already in the dataset is skipped.

    Args:
        sources: folders of recordings of the same game.
        out: folder of the joined dataset; may exist.
        eval_share: hold out this share of all frames, in whole episodes; by default every episode keeps its split.
    """
    from worldsim.data import merge as run

    figures = run(sources, out, eval_share=eval_share)
    for split, episodes in figures["episodes"].items():
        print(f"{split}: {episodes} episodes, {figures['frames'][split]} frames")
    print(f"{figures['added']} episodes added, {figures['skipped']} were there: {out}")
    write_json(json, figures)


def check(dataset: Positional[Path], *, json: Json = None) -> None:
    """Reads a whole dataset; the exit status is 1 if something is wrong with it.

    Args:
        dataset: folder of the dataset.
    """
    from worldsim.data import check as run
    from worldsim.data.check import format_check

    figures = run(dataset)
    print(*map(printable, format_check(figures).splitlines()), sep="\n")
    write_json(json, figures)
    if figures["problems"]:
        raise SystemExit(1)


def record_game(
    game: GameSpec, out: Path, *, policies: Mapping[str, float], processes: int | None = None, **options: Any
) -> dict[str, Any]:
    """Records a game with a mixture of policies, given as shares by name."""
    from worldsim.data.collect import PolicySource, collect
    from worldsim.envs.games import make_policy

    for name in policies:
        make_policy(name, game.control_spec)  # raises now rather than in a process
    make = {name: functools.partial(make_policy, name, game.control_spec) for name in policies}
    sources = [PolicySource(name, make[name], share) for name, share in policies.items()]
    about: dict[str, Any] = {"game": game.name, "state": game.states, "cells": game.cells}
    return collect(game.start, sources, out, processes=processes or os.cpu_count() or 1, **about, **options)


def record_whole(game: GameSpec, out: Path, wanted: Collection) -> None:
    """Records a dataset that appears at `out` once it is complete; an interrupted one is resumed."""
    print(f"no dataset at {out}: recording {wanted.frames} frames of {game.name} first")
    partial = out.with_name(f"{out.name}.part")
    record_game(game, partial, frames=wanted.frames, eval_frames=wanted.eval_frames, policies=game.policies)
    partial.rename(out)
