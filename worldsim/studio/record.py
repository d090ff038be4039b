"""Rollouts of a world as a clip, without a window."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import trange

from worldsim.controls import Controls
from worldsim.studio.clip import writing_clip
from worldsim.studio.controls import random_controls
from worldsim.world import World


def record_clip(
    world: World, out: Path, frames: int, seed: int = 0, controls: Iterable[Controls] | None = None, scale: int = 4
) -> Path:
    """Writes a rollout to a video, a GIF or a film strip. Where an episode ends, another begins.

    Ctrl-C keeps the frames made so far.

    Args:
        world: of batch 1.
        out: file that ends in .mp4, .gif or .png.
        frames: how many.
        seed: of the first episode and of random controls; the next episodes have the seeds after it.
        controls: one for each frame but the first; by default random ones.
        scale: every pixel becomes a square of so many.

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
