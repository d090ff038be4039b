"""`worldsim eval` and `worldsim replay`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output, existing_data, folder_of, use_game
from worldsim.errors import ConfigError
from worldsim.eval.config import EvalConfig, EvalOptions, ReplayConfig
from worldsim.scale.config import NO_RAY, RayOptions
from worldsim.studio.config import StudioCounts, StudioEvalConfig

DEFAULT, MADE = EvalConfig(), StudioCounts()


def evaluate(
    options: Annotated[EvalOptions, FLAT],
    config: Annotated[EvalConfig, FLAT] = DEFAULT,
    made: StudioCounts = MADE,
    ray: Annotated[RayOptions, FLAT] = NO_RAY,
    output: Annotated[Output, FLAT] = NO_OUTPUT,
) -> None:
    """Measures a world."""
    from worldsim.envs.games import folder_of_game
    from worldsim.eval.report import draw
    from worldsim.eval.report import evaluate as run
    from worldsim.scale.cluster import opened
    from worldsim.world import find_world, read_config

    if ray.wanted and (options.studio or options.sheet_only):
        raise ConfigError("ray was given; with --studio or --sheet-only everything is done in one process: leave it out.")
    if options.studio:
        measure_studio(options, config, made, output)
        return
    data, out, home = options.data, options.out, folder_of_game(options.game)
    if options.game is not None:
        use_game(options.game, read_config(find_world(options.world)).source)
    if home is not None:
        data, out = existing_data(data, home / "data"), out or home / "eval"
    elif data is None or out is None:
        game = folder_of(read_config(find_world(options.world)).game)
        data, out = existing_data(data, Path("data") / game), out or Path("runs/eval") / game
    else:
        data = existing_data(data, data)
    if options.sheet_only:
        print(draw(options.world, data, out, config=config, device=options.device))
    else:
        with opened(ray) as cluster:
            run(options.world, data, out, config=config, device=options.device, json=output.json, cluster=cluster)


def measure_studio(options: EvalOptions, config: EvalConfig, made: StudioCounts, output: Output) -> None:
    """Measures the tasks of the studio."""
    from worldsim.studio.data_config import StudioCollectConfig, held_out_of
    from worldsim.studio.evaluate import evaluate_studio

    num_steps = config.num_steps or StudioEvalConfig.num_steps
    measured = StudioEvalConfig(**vars(made), clips=config.clips, num_steps=num_steps, seed=config.seed)
    data = existing_data(options.data, held_out_of(StudioCollectConfig().out))
    out = options.out or Path("runs/eval/studio")
    output.write(evaluate_studio(options.world, data, out, measured, options.device))


def replay(config: Annotated[ReplayConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Dreams a recorded episode again; the exit status is 1 if it is not the same bit for bit."""
    from contextlib import ExitStack

    from worldsim.data import Dataset
    from worldsim.data.images import ClipWriter
    from worldsim.errors import DataError
    from worldsim.eval.redream import format_redream, redream
    from worldsim.provenance import Claim

    dataset = Dataset(config.dataset)
    position = next((i for i, episode in enumerate(dataset.episodes) if episode.index == config.episode), None)
    if position is None:
        last = dataset.episodes[-1].index
        raise DataError(f"episode was {config.episode}; {config.dataset} has no episode of that number, its last is {last}.")
    with ExitStack() as stack:
        claim = Claim.of_labels(asdict(dataset.episodes[position]))
        clip = None
        if config.out is not None:
            clip = stack.enter_context(ClipWriter(config.out, dataset.fps, config.scale, claim, config.marks))
        figures = redream(dataset, position, config.world, None if clip is None else clip.append)
    print(format_redream(figures))
    output.write(figures)
    if not figures["identical"]:
        raise SystemExit(1)
