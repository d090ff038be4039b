"""`worldsim collect`: recordings of real games."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from worldsim.cli.options import check_least, write_json
from worldsim.errors import WorldsimError, suggest

if TYPE_CHECKING:
    from worldsim.presets import Collection

Policies = Literal["auto", "random", "pacing", "sweeping", "coverage"]


def collect(
    game: Positional[str],
    *,
    out: Path | None = None,
    frames: int | None = None,
    eval_frames: int | None = None,
    policy: Policies = "auto",
    processes: int | None = None,
    seed: int = 0,
    lossless: bool = False,
    json: Path | None = None,
) -> None:
    """Records a game.

    Args:
        game: Such as doom/take-cover.
        out: Folder of the dataset; by default data/GAME.
        frames: Training frames; by default what the game's world is trained on.
        eval_frames: Held-out frames, from episodes that training never sees.
        policy: Who plays; "auto" is the mixture the game's world is trained on.
        processes: Games played at a time; by default one per core.
        seed: Of all episodes.
        lossless: Store frames bit for bit.
        json: File for the figures of what was covered.
    """
    check_least(0, frames=frames, eval_frames=eval_frames, seed=seed)
    check_least(1, processes=processes)
    from worldsim.data.coverage import format_coverage
    from worldsim.presets import find_collection

    wanted = find_collection(game)
    figures = record_game(
        game,
        out or Path("data") / game,
        frames=wanted.frames if frames is None else frames,
        eval_frames=wanted.eval_frames if eval_frames is None else eval_frames,
        policies=wanted.policies if policy == "auto" else {policy: 1.0},
        processes=processes,
        seed=seed,
        lossless=lossless,
    )
    print(format_coverage(figures))
    write_json(json, figures)


def record_game(
    game: str, out: Path, *, policies: Mapping[str, float], processes: int | None = None, **options: Any
) -> dict[str, Any]:
    """Records a game with a mixture of policies, given as shares by name."""
    from worldsim.data.collect import PolicySource, collect
    from worldsim.envs import games

    if game not in games.GAMES:
        raise WorldsimError(f"unknown game {game!r}; choose from: {', '.join(games.GAMES)}.{suggest(game, games.GAMES)}")
    spec = games.GAMES[game].control_spec
    sources = [PolicySource(name, functools.partial(games.make_policy, name, spec), share) for name, share in policies.items()]
    make_env = functools.partial(games.make, game)
    return collect(make_env, sources, out, game=game, processes=processes or os.cpu_count() or 1, **options)


def record_whole(game: str, out: Path, wanted: Collection) -> None:
    """Records a dataset that appears at `out` once it is complete; an interrupted one is resumed."""
    print(f"no dataset at {out}: recording {wanted.frames} frames of {game} first")
    partial = out.with_name(f"{out.name}.part")
    record_game(game, partial, frames=wanted.frames, eval_frames=wanted.eval_frames, policies=wanted.policies)
    partial.rename(out)
