"""Clips and pictures from pure noise: a schedule in which no frame is given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.controls import Controls
from worldsim.errors import WorldsimError, check_int
from worldsim.model.noise import schedule
from worldsim.model.sampler import denoise
from worldsim.studio.clip import check_clip, writing_clip
from worldsim.studio.config import MOST_CALLS, GenerateConfig
from worldsim.studio.controls import random_controls
from worldsim.world import World, find_world, read_config

DECODED = 32  # frames at a time, which bounds memory


def generate_clip(config: GenerateConfig) -> Path:
    """Writes a picture or a clip of random controls.

    Returns:
        `config.out`.

    Raises:
        WorldsimError: if there is no such world, or the file cannot be written; before the world is loaded.
    """
    size = read_config(find_world(config.world))
    check_clip(config.out, (size.height, size.width), config.frames, config.scale)
    world = World.load(config.world, device=config.device)
    controls = list(islice(random_controls(world.control_spec, config.seed), config.frames))
    clip = generate(world, controls, num_steps=config.num_steps, seed=config.seed)
    with writing_clip(config.out, clip.shape[1:3], fps=size.fps, frames=config.frames, scale=config.scale) as append:
        for frame in clip:
            append(frame)
    return config.out


@torch.inference_mode()
def generate(world: World, controls: Sequence[Controls], *, num_steps: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Makes a clip without a start context; all its frames are denoised together.

    Args:
        world: whose networks to use; a stream in progress is left alone.
        controls: one per frame, that produced it; their number is the clip's length.
        num_steps, seed: as in `GenerateConfig`.

    Returns:
        uint8 frames `(T, H, W, 3)`.

    Raises:
        WorldsimError: if there is nothing to generate.
        ControlError: if the world does not listen to such controls.
    """
    if not controls:
        raise WorldsimError("controls was empty; give one for each frame, at least 1.")
    check_int("num_steps", num_steps, 1, MOST_CALLS)
    spec = world.control_spec
    generator = torch.Generator(device="cpu").manual_seed(seed)
    shape = (1, len(controls), *world.latent_shape)
    noise = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
    vectors = torch.from_numpy(spec.to_vectors(controls, len(controls)) / spec.scale())
    latents = denoise(
        world.dynamics,
        noise.to(world.device, world.dtype),
        schedule(np.zeros(len(controls), bool), num_steps),
        vectors[None].to(world.device, world.dtype),
    )
    return np.concatenate([world.tokenizer.decode_frames(part).cpu().numpy() for part in latents[0].split(DECODED)])
