"""`worldsim train`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from worldsim.choices import Device
from worldsim.cli.data import record_whole
from worldsim.cli.options import Json, compiler_found, existing_data, parse_duration, write_json
from worldsim.files import check_writable_folder


def train(
    name: Positional[str],
    *,
    budget: str = "2h",
    data: Path | None = None,
    out: Path | None = None,
    start: str | None = None,
    device: Device = "auto",
    compile: bool = True,
    json: Json = None,
) -> None:
    """Trains a world.

    Args:
        name: of a preset, such as doom/take-cover; or module:attribute of a GameSpec of your own.
        budget: training time in all, such as 90s, 10m or 2h.
        data: dataset; by default data/NAME, which is recorded first if it does not exist.
        out: run folder, which ends up with the world in `world/`; by default runs/NAME.
        start: world to begin with, whose tokenizer is kept; by default both networks begin with random weights.
        device: where to train.
        compile: compile the networks, which pays off after some minutes.
    """
    seconds = parse_duration(budget)
    from worldsim.envs.games import find_game
    from worldsim.presets import find_collection, find_preset
    from worldsim.train.run import train as run
    from worldsim.world import find_world

    config = find_preset(name)
    data, out = existing_data(data, Path("data") / config.name), out or Path("runs") / config.name
    check_writable_folder(out)
    if start is not None:
        find_world(start)
    check_writable_folder(out)  # before the hours of recording and training
    if not data.exists():
        record_whole(find_game(name), data, find_collection(config.name))
    trained = run(config, data, out, seconds, device, compile and compiler_found(), start)
    print(trained)
    write_json(json, trained.figures())
