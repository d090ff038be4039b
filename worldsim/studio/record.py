"""Rollouts of a world as a clip, without a window."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import trange

from worldsim.controls import Controls
from worldsim.studio.clip import check_clip, writing_clip
from worldsim.studio.config import RecordConfig
from worldsim.studio.controls import random_controls
from worldsim.world import World, find_world, read_config


def record(config: RecordConfig) -> Path:
    """Writes a clip of random play; Ctrl-C keeps the frames made so far.

    Returns:
        `config.out`.

    Raises:
        WorldsimError: if there is no such world, or the file cannot be written; before the world is loaded.
    """
    size = read_config(find_world(config.world))
    check_clip(config.out, (size.height, size.width), config.frames, config.scale)
    world = World.load(config.world, device=config.device, num_steps=config.num_steps, runtime=config.runtime)
    return record_clip(world, config.out, config.frames, config.seed, scale=config.scale)


def record_clip(
    world: World, out: Path, frames: int, seed: int = 0, controls: Iterable[Controls] | None = None, scale: int = 4
) -> Path:
    """Writes a rollout to a video, a GIF or a film strip. Where an episode ends, another begins.

    Ctrl-C keeps the frames made so far.

    Args:
        world: of batch 1.
        out, frames, seed, scale: as in `RecordConfig`.
        controls: one for each frame but the first; by default random ones.

    Returns:
        `out`.

    Raises:
        WorldsimError: if an argument is out of range, or the file cannot be written; see `writing_clip`.
    """
    config, made = world.config, 0
    given = iter(random_controls(world.control_spec, seed) if controls is None else controls)
    try:
        with writing_clip(out, (config.height, config.width), fps=config.fps, frames=frames, scale=scale) as append:
            step = world.reset(seed=seed)
            for made in trange(1, frames + 1, desc="recording", unit="frame"):
                append(step.frame[0])
                if made < frames:
                    step = world.step(next(given))
                if step.terminated[0]:
                    seed += 1
                    step = world.reset(seed=seed)
    except KeyboardInterrupt:
        if made:
            print(f"stopped: {made} of {frames} frames are in {out}", file=sys.stderr)
        raise
    return out
