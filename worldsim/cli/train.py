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
    from worldsim.envs.games import find_game, folder_of_game
    from worldsim.presets import find_collection, find_preset
    from worldsim.train.run import train as run
    from worldsim.world import find_world

    config, home = find_preset(options.game), folder_of_game(options.game)
    data = existing_data(options.data, home / "data" if home else Path("data") / config.name)
    out = options.out or home or Path("runs") / config.name
    if options.start is not None:
        find_world(options.start)
    check_writable_folder(out)  # before the hours of recording and training
    if not data.exists():
        record_whole(find_game(options.game), data, find_collection(options.game))
    compiled = options.compile and compiler_found()
    trained = run(config, data, out, options.seconds, options.device, compiled, options.start)
    print(trained)
    output.write(trained.figures())
