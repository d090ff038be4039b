"""`worldsim eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from worldsim.choices import Device
from worldsim.cli.options import FLAT, Json, existing_data, folder_of
from worldsim.eval.config import EvalConfig

DEFAULT = EvalConfig()


def evaluate(
    world: Positional[str],
    config: Annotated[EvalConfig, FLAT] = DEFAULT,
    *,
    data: Path | None = None,
    out: Path | None = None,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Measures a world.

    Args:
        world: name, folder or Hub id.
        data: dataset with held-out episodes; by default data/GAME.
        out: folder for the contact sheet and the clip; by default runs/eval/GAME.
        device: where the world runs.
    """
    from worldsim.eval.report import evaluate as run
    from worldsim.world import find_world, read_config

    if data is None or out is None:
        game = folder_of(read_config(find_world(world)).game)
        data, out = existing_data(data, Path("data") / game), out or Path("runs/eval") / game
    else:
        data = existing_data(data, data)
    run(world, data, out, config=config, device=device, json=json)
