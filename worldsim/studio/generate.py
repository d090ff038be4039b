"""Clips and pictures from pure noise: a schedule in which no frame is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.controls import Controls
from worldsim.errors import WorldsimError
from worldsim.model.noise import schedule
from worldsim.model.sampler import denoise
from worldsim.world import World

DECODED = 32  # frames at a time, which bounds memory


@torch.inference_mode()
def generate(world: World, controls: Sequence[Controls], *, num_steps: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Makes a clip without a start context; all its frames are denoised together.

    Args:
        world: whose networks to use; a stream in progress is left alone.
        controls: one per frame, that produced it; their number is the clip's length.
        num_steps: network calls for the whole clip.
        seed: of the noise.

    Returns:
        uint8 frames `(T, H, W, 3)`.

    Raises:
        WorldsimError: if there is nothing to generate.
        ControlError: if the world does not listen to such controls.
    """
    if not controls:
        raise WorldsimError("controls was empty; give one for each frame, at least 1.")
    if num_steps < 1:
        raise WorldsimError(f"num_steps was {num_steps}; give at least 1.")
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
