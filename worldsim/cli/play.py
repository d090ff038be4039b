"""`worldsim play`, `record` and `generate`: worlds to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from worldsim.choices import Device, Runtime
from worldsim.cli.app import main
from worldsim.cli.options import FLAT, check_least
from worldsim.errors import check_int
from worldsim.player import PlayConfig

PLAY = PlayConfig()
LONGEST = 1000  # frames that are denoised all together


def play(config: Annotated[PlayConfig, FLAT] = PLAY) -> None:
    """Opens a window."""
    from worldsim.player import play as open_window

    open_window(config)


def play_main() -> None:
    """Entry point of `worldsim-play` and play.py: `worldsim play` with the same options."""
    main(["play", *sys.argv[1:]])


def record(
    world: Positional[str],
    *,
    out: Path = Path("dream.mp4"),
    frames: int = 300,
    seed: int = 0,
    num_steps: int | None = None,
    scale: int = 4,
    device: Device = "auto",
    runtime: Runtime = "auto",
) -> None:
    """Saves a clip of random play; Ctrl-C keeps the frames made so far.

    Args:
        world: name, folder or Hub id.
        out: an .mp4, a .gif, or a .png that shows the frames from left to right.
        frames: how many.
        seed: of the start, the controls and the noise. Where an episode ends, another begins, with the next seed.
        num_steps: network calls per frame; by default the world's own.
        scale: pixels of the clip per pixel of a frame.
        device: where the world runs.
        runtime: who executes a step; "auto" is OpenVINO where it is prepared here, otherwise torch.
    """
    check_least(0, seed=seed)
    _check_clip(world, out, frames, scale)
    from worldsim.studio.record import record_clip
    from worldsim.world import World

    print(record_clip(World.load(world, device=device, num_steps=num_steps, runtime=runtime), out, frames, seed, scale=scale))


def generate(
    world: Positional[str],
    *,
    out: Path = Path("generated.png"),
    frames: int = 1,
    num_steps: int = 8,
    seed: int = 0,
    scale: int = 4,
    device: Device = "auto",
) -> None:
    """Saves a picture or a clip.

    Args:
        world: name, folder or Hub id.
        out: a .png shows the frames from left to right, an .mp4 or .gif one after another.
        frames: how many, denoised all together.
        num_steps: network calls.
        seed: of the controls and the noise.
        scale: pixels of the clip per pixel of a frame.
        device: where the world runs.
    """
    check_least(1, num_steps=num_steps)
    check_least(0, seed=seed)
    _check_clip(world, out, frames, scale)
    check_int("frames", frames, 1, LONGEST)
    from itertools import islice

    from worldsim.studio.clip import writing_clip
    from worldsim.studio.controls import random_controls
    from worldsim.studio.generate import generate as generate_frames
    from worldsim.world import World

    loaded = World.load(world, device=device)
    controls = list(islice(random_controls(loaded.control_spec, seed), frames))
    clip = generate_frames(loaded, controls, num_steps=num_steps, seed=seed)
    with writing_clip(out, clip.shape[1:3], fps=loaded.config.fps, frames=frames, scale=scale) as append:
        for frame in clip:
            append(frame)
    print(out)


def _check_clip(world: str, out: Path, frames: int, scale: int) -> None:
    """Finds out whether the clip can be written before the world is loaded."""
    from worldsim.studio.clip import check_clip
    from worldsim.world import find_world, read_config

    config = read_config(find_world(world))
    check_clip(out, (config.height, config.width), frames, scale)
