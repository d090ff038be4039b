"""Rollouts of a world as a video, without a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import trange

from worldsim.controls import Controls, ControlSpec
from worldsim.data.images import save_mp4
from worldsim.errors import WorldsimError
from worldsim.world import World

Play = Callable[[int], Controls]


def record_clip(world: World, out: Path, frames: int, seed: int = 0, play: Play | None = None, scale: int = 4) -> Path:
    """Dreams `frames` frames and writes them as an h264 video. Where an episode ends, another begins.

    Args:
        world: of batch 1.
        out: the mp4.
        frames: how many.
        seed: of the dream, the next ones having the seeds after it, and of the controls if none are given.
        play: controls for frame `t`; by default held at random for random times.
        scale: every pixel becomes so many, sharp.
    """
    if frames < 1 or scale < 1:
        raise WorldsimError(f"frames was {frames} and scale {scale}; give at least 1 of each.")
    play = play or wander(world.control_spec, seed)
    seen: list[NDArray[np.uint8]] = [world.reset(seed=seed).frame[0]]
    for t in trange(frames - 1, desc="dreaming", unit="frame"):
        step = world.step(play(t))
        if step.terminated[0]:
            seed += 1
            step = world.reset(seed=seed)
        seen.append(step.frame[0])
    save_mp4(out, np.stack(seen).repeat(scale, 1).repeat(scale, 2), world.config.fps)
    return out


def wander(spec: ControlSpec, seed: int) -> Play:
    """Controls that change at random every few frames."""
    rng = np.random.default_rng(seed)
    held = spec.neutral()

    def play(t: int) -> Controls:
        nonlocal held
        if t == 0 or rng.random() < 0.12:
            keys = [str(rng.choice([*group, ""])) for group in spec.exclusive]
            turn = tuple(float(rng.normal(0, limit / 6)) for limit in spec.mouse_limit)
            buttons = [button for button in spec.buttons if rng.random() < 0.3]
            held = Controls(keys=frozenset(filter(None, keys)), mouse=(turn[0], turn[1]), buttons=frozenset(buttons))
        return held

    return play
