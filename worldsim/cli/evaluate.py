"""`worldsim eval`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from worldsim.cli.options import Device, Json, existing_data, folder_of


def evaluate(
    world: Positional[str],
    *,
    data: Path | None = None,
    out: Path | None = None,
    clips: int = 64,
    num_steps: int | None = None,
    seed: int = 0,
    objects: bool = True,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Measures a world.

    Args:
        world: Name, folder or Hub id.
        data: Dataset with held-out episodes; by default data/GAME.
        out: Folder for the contact sheet and the clip; by default runs/eval/GAME.
        clips: Held-out clips.
        num_steps: Network calls per frame; by default the world's own.
        seed: Of clips, noise and policies.
        objects: Count objects too, where the game's are known.
        device: Where the world runs.
    """
    from worldsim.eval.figures import EvalConfig
    from worldsim.eval.report import evaluate as run
    from worldsim.world import find_world, read_config

    config = EvalConfig(clips=clips, num_steps=num_steps, seed=seed, objects=objects)
    if data is None or out is None:
        game = folder_of(read_config(find_world(world)).game)
        data, out = existing_data(data, Path("data") / game), out or Path("runs/eval") / game
    else:
        data = existing_data(data, data)
    run(world, data, out, config=config, device=device, json=json)
