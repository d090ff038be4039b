"""`worldsim collect`, `data merge`, `data check` and `data info`: recordings of games."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.data.config import CheckConfig, CollectConfig, InfoConfig, MergeConfig
from worldsim.errors import printable
from worldsim.scale.config import NO_RAY, RayOptions

if TYPE_CHECKING:
    from worldsim.envs.games import GameSpec
    from worldsim.presets import Collection


def collect(
    config: Annotated[CollectConfig, FLAT],
    ray: Annotated[RayOptions, FLAT] = NO_RAY,
    output: Annotated[Output, FLAT] = NO_OUTPUT,
) -> None:
    """Records a game."""
    from worldsim.data.coverage import format_coverage
    from worldsim.envs.games import find_game, folder_of_game
    from worldsim.presets import find_collection
    from worldsim.scale.cluster import opened
    from worldsim.studio.collect import record_game

    spec, home = find_game(config.game), folder_of_game(config.game)
    wanted = find_collection(config.game)
    with opened(ray) as cluster:
        figures = record_game(
            spec,
            config.out or (home / "data" if home else Path("data") / spec.name),
            frames=wanted.frames if config.frames is None else config.frames,
            eval_frames=wanted.eval_frames if config.eval_frames is None else config.eval_frames,
            policies=spec.policies if config.policy == "auto" else {config.policy: 1.0},
            processes=config.processes or (cluster.room if cluster else None),
            cluster=cluster,
            seed=config.seed,
            lossless=config.lossless,
        )
    print(format_coverage(figures))
    output.write(figures)


def merge(config: Annotated[MergeConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Joins recordings; one that is already in the dataset is skipped."""
    from worldsim.data.merge import merge as run

    figures = run(config.sources, config.out, eval_share=config.eval_share)
    for split, episodes in figures["episodes"].items():
        print(f"{split}: {episodes} episodes, {figures['frames'][split]} frames")
    print(f"{figures['added']} episodes added, {figures['skipped']} were there: {config.out}")
    output.write(figures)


def check(config: Annotated[CheckConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Reads a whole dataset; the exit status is 1 if something is wrong with it."""
    from worldsim.data.check import check as run
    from worldsim.data.check import format_check

    figures = run(config.dataset, quick=config.quick)
    print(*map(printable, format_check(figures).splitlines()), sep="\n")
    if config.repair and figures["problems"]:
        from worldsim.data.check import repair

        for line in repair(config.dataset, figures["damaged"]):
            print(printable(line))
        figures = run(config.dataset, quick=True)
        print(*map(printable, format_check(figures).splitlines()), sep="\n")
    output.write(figures)
    if figures["problems"]:
        raise SystemExit(1)


def info(config: Annotated[InfoConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Describes a dataset."""
    from worldsim.data.dataset import Dataset
    from worldsim.data.images import save_png
    from worldsim.data.info import contact_sheet, describe, format_description
    from worldsim.provenance import Claim

    dataset = Dataset(config.dataset)
    figures = describe(dataset)
    print(*map(printable, format_description(figures).splitlines()), sep="\n")
    if config.sheet is not None:
        claims = [Claim.of_labels(asdict(episode)) for episode in dataset.episodes]
        claim = next((replace(claim, seed=None, composite=not all(claims)) for claim in claims if claim), None)
        save_png(config.sheet, contact_sheet(dataset, config.rows, config.columns), claim, config.marks)
        print(f"contact sheet: {config.sheet}")
    output.write(figures)


def record_whole(game: GameSpec, out: Path, wanted: Collection) -> None:
    """Records a dataset that appears at `out` once it is complete; an interrupted one is resumed."""
    from worldsim.studio.collect import record_game

    print(f"no dataset at {out}: recording {wanted.frames} frames of {game.name} first")
    partial = out.with_name(f"{out.name}.part")
    record_game(game, partial, frames=wanted.frames, eval_frames=wanted.eval_frames, policies=game.policies)
    partial.rename(out)
