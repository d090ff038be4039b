"""`worldsim train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from worldsim.cli.data import record_whole
from worldsim.cli.options import FLAT, NO_OUTPUT, Output, compiler_found, existing_data
from worldsim.files import check_writable_folder
from worldsim.train.options import TrainOptions


def train(options: Annotated[TrainOptions, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Trains a world."""
    from worldsim.envs.games import find_game
    from worldsim.presets import find_collection, find_preset
    from worldsim.train.run import train as run
    from worldsim.world import find_world

    config = find_preset(options.name)
    data = existing_data(options.data, Path("data") / config.name)
    out = options.out or Path("runs") / config.name
    if options.start is not None:
        find_world(options.start)
    check_writable_folder(out)  # before the hours of recording and training
    if not data.exists():
        record_whole(find_game(options.name), data, find_collection(config.name))
    compiled = options.compile and compiler_found()
    trained = run(config, data, out, options.seconds, options.device, compiled, options.start)
    print(trained)
    output.write(trained.figures())
