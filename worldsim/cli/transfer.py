"""`worldsim transfer`."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Any

from worldsim.cli.data import record_whole
from worldsim.cli.options import FLAT, NO_OUTPUT, Output, compiler_found, existing_data
from worldsim.errors import ConfigError
from worldsim.scale.config import NO_RAY, RayOptions
from worldsim.transfer.config import TransferOptions


def transfer(
    options: Annotated[TransferOptions, FLAT],
    ray: Annotated[RayOptions, FLAT] = NO_RAY,
    output: Annotated[Output, FLAT] = NO_OUTPUT,
) -> None:
    """Trains agents inside worlds alone, plays the real game with them, and writes a card."""
    from worldsim.envs.games import find_game, folder_of_game, is_path
    from worldsim.presets import find_collection, find_transfer
    from worldsim.scale.cluster import opened
    from worldsim.transfer.report import check_outputs, chosen_policies
    from worldsim.transfer.report import transfer as run
    from worldsim.transfer.worlds import refit_world, train_shuffled, train_worlds
    from worldsim.world import find_world

    if options.servers and not ray.wanted:
        raise ConfigError(f"servers was {options.servers} without a cluster that they could run on; give --ray as well.")
    name, config, device, json = options.game, options.config, options.device, output.json
    preset, home, own = find_transfer(name), folder_of_game(name), is_path(name)
    game = find_game(name if own else preset.name)
    data = existing_data(options.data, home / "data" if home else Path("data") / preset.name)
    out = options.out or (home / "transfer" if home else Path("runs/transfer") / preset.name)
    title = preset.name if own else name
    card = options.card or (home or Path("docs")) / f"transfer-{title.rsplit('/', 1)[-1]}.md"
    config.of_game(game)  # raises now rather than after the worlds are trained, as do the outputs
    check_outputs(out, card, json)
    with opened(ray) as cluster:  # before the hours of recording and training, too
        if not data.exists():
            record_whole(game, data, find_collection(name if own else preset.name))
        compiled, seconds, start = not (options.worlds and options.shuffled) and compiler_found(), options.seconds, options.start
        true = options.worlds or train_worlds(preset, data, out / "worlds", seconds, options.seeds, device, compiled, start)
        false = options.shuffled or train_shuffled(preset, data, out / "shuffled", seconds, device, compiled, start)
        about: dict[str, Any] = {"card": card, "json": json, "config": config, "device": device, "game": game}
        play = functools.partial(run, true, data, out, shuffled=false, **about, cluster=cluster, servers=options.servers)
        figures = play()
        if options.refit_frames:
            refitted = refit_world(
                preset,
                find_world(true[0]),
                chosen_policies(figures, out),
                data,
                out / "refit",
                options.refit_frames,
                options.refit_seconds,
                device,
                compiler_found(),
                config,
                os.cpu_count() or 1,
                game,
            )
            play(refitted=[refitted])
    print(card)
