"""`worldsim train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from worldsim.cli.data import record_whole
from worldsim.cli.options import FLAT, NO_OUTPUT, Output, compiler_found, existing_data
from worldsim.errors import ConfigError
from worldsim.files import check_writable_folder
from worldsim.train.options import TrainOptions

if TYPE_CHECKING:
    from worldsim.train.config import TrainConfig


def train(options: Annotated[TrainOptions, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Trains a world."""
    from worldsim.presets import STUDIOS
    from worldsim.train import distributed
    from worldsim.train.launch import launch, reported

    if options.game in STUDIOS:
        if options.nproc > 1 or distributed.expected() > 1:
            raise ConfigError(
                f"nproc was {max(options.nproc, distributed.expected())}; {options.game} is trained by one process."
            )
        train_studio(options, output)
        return
    if options.nproc > 1:
        if distributed.expected() > 1:
            raise ConfigError(f"nproc was {options.nproc} inside torchrun, which says itself how many there are; leave it out.")
        _prepare(options)
        launch(options.nproc, ["-m", "worldsim", "train", *_arguments(options, output)], options.restarts)
        return
    with reported(), distributed.joined():
        _train(options, output)


def _train(options: TrainOptions, output: Output) -> None:
    from worldsim.train import distributed
    from worldsim.train.run import train as run

    config, data, out = distributed.main_first(lambda: _prepare(options))
    compiled = options.compile and compiler_found()
    trained = run(config, data, out, options.seconds, options.device, compiled, options.start)
    if distributed.is_main():
        print(trained)
        output.write(trained.figures())


def _prepare(options: TrainOptions) -> tuple[TrainConfig, Path, Path]:
    """Checks what is wanted, and records the dataset if there is none: the configuration, the dataset and the run folder."""
    from worldsim.envs.games import find_game, folder_of_game
    from worldsim.presets import find_collection, find_preset
    from worldsim.world import find_world

    config, home = find_preset(options.game), folder_of_game(options.game)
    data = existing_data(options.data, home / "data" if home else Path("data") / config.name)
    out = options.out or home or Path("runs") / config.name
    if options.start is not None:
        find_world(options.start)
    check_writable_folder(out)  # before the hours of recording and training
    if not data.exists():
        record_whole(find_game(options.game), data, find_collection(options.game))
    return config if not options.batches else _with_batches(config, options.batches), data, out


def _with_batches(config: TrainConfig, batches: int) -> TrainConfig:
    def wanted(stage: Any) -> Any:
        return replace(stage, loop=replace(stage.loop, batches=batches))

    return replace(config, tokenizer=wanted(config.tokenizer), dynamics=wanted(config.dynamics))


def _arguments(options: TrainOptions, output: Output) -> list[str]:
    """The options of each of the processes."""
    given: dict[str, Any] = {"data": options.data, "out": options.out, "start": options.start, "json": output.json}
    given |= {"budget": options.budget, "device": options.device, "batches": options.batches}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return [options.game, *words, *([] if options.compile else ["--no-compile"])]


def train_studio(options: TrainOptions, output: Output) -> None:
    """Trains a world that reads prompts, on a folder of captioned recordings, one for each size of frames."""
    from worldsim.envs.games import find_game
    from worldsim.presets import STUDIOS
    from worldsim.studio.collect import record_studio
    from worldsim.studio.data_config import StudioCollectConfig
    from worldsim.studio.train import find_words
    from worldsim.studio.train import train_studio as run
    from worldsim.world import world_hash

    config, recorded = STUDIOS[options.game](), StudioCollectConfig()
    data, out = existing_data(options.data, recorded.out), options.out or Path("runs") / config.name
    words = find_words(options.start)
    check_writable_folder(out)
    if not data.exists():
        record_studio(find_game(recorded.game), data, frames=recorded.frames, eval_frames=recorded.eval_frames)
    compiled = options.compile and compiler_found()
    world = run(
        config,
        data,
        out,
        options.seconds,
        words=words,
        device=options.device,
        compiled=compiled,
        start=options.start,
    )
    print(f"{world}\nmake a clip: worldsim generate --world {world}")
    output.write({"world": str(world), "hash": world_hash(world), "budget_s": options.seconds})
