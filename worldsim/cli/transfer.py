"""`worldsim transfer`."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from tyro.conf import Positional

from worldsim.choices import Device
from worldsim.cli.data import record_whole
from worldsim.cli.options import Json, check_least, compiler_found, existing_data, parse_duration
from worldsim.errors import WorldsimError
from worldsim.transfer.config import TransferConfig


def transfer(
    name: Positional[str],
    *,
    worlds: tuple[str, ...] = (),
    shuffled: tuple[str, ...] = (),
    budget: str = "2h",
    start: str | None = None,
    seeds: tuple[int, ...] = (0, 1),
    data: Path | None = None,
    out: Path | None = None,
    card: Path | None = None,
    config: TransferConfig = TransferConfig(),  # noqa: B008 (frozen)
    refit_frames: int = 0,
    refit_budget: str = "20m",
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Trains agents inside worlds alone, plays the real game with them, and writes a card.

    Args:
        name: of a preset or game, as for train; agents of doom/take-cover learn in worlds of doom/take-cover-strip.
        worlds: names, folders or Hub ids; by default they are trained, one per seed.
        shuffled: worlds trained on shuffled actions; by default one is trained.
        budget: training time of each world, such as 90s, 10m or 2h.
        start: world that they begin with; by default each begins with random weights.
        seeds: of the worlds.
        data: dataset that the worlds are trained on; by default data/ and the name of their preset, recorded if missing.
        out: folder of worlds, policies and finished runs; by default runs/transfer/NAME.
        card: markdown file for the tables, with its plot beside it; by default docs/transfer-NAME.md.
        config: how much of everything.
        refit_frames: real frames to record with the policies trained in the first world, which is then trained further on
            them for a row of its own; 0 for none.
        refit_budget: time of that training.
        device: where the worlds run.
    """
    seconds, more = parse_duration(budget), parse_duration(refit_budget, "refit_budget")
    check_least(0, refit_frames=refit_frames, seeds=min(seeds, default=0))
    if not worlds and not seeds:
        raise WorldsimError("seeds was empty; give at least one, or worlds.")
    from worldsim.envs.games import find_game
    from worldsim.presets import find_collection, find_transfer
    from worldsim.transfer.report import check_outputs, chosen_policies
    from worldsim.transfer.report import transfer as run
    from worldsim.transfer.worlds import refit_world, train_shuffled, train_worlds
    from worldsim.world import find_world

    preset = find_transfer(name)
    game = find_game(name if ":" in name else preset.name)
    data, out = existing_data(data, Path("data") / preset.name), out or Path("runs/transfer") / preset.name
    title = preset.name if ":" in name else name
    card = card or Path("docs") / f"transfer-{title.rsplit('/', 1)[-1]}.md"
    config.of_game(game)  # raises now rather than after the worlds are trained, as do the outputs
    check_outputs(out, card, json)
    if not data.exists():
        record_whole(game, data, find_collection(preset.name))
    compiled = not (worlds and shuffled) and compiler_found()
    true = worlds or train_worlds(preset, data, out / "worlds", seconds, seeds, device, compiled, start)
    false = shuffled or train_shuffled(preset, data, out / "shuffled", seconds, device, compiled, start)
    play = functools.partial(run, true, data, out, shuffled=false, card=card, json=json, config=config, device=device, game=game)
    figures = play()
    if refit_frames:
        refitted = refit_world(
            preset,
            find_world(true[0]),
            chosen_policies(figures, out),
            data,
            out / "refit",
            refit_frames,
            more,
            device,
            compiler_found(),
            config,
            os.cpu_count() or 1,
            game,
        )
        play(refitted=[refitted])
    print(card)
