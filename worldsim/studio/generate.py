"""Clips and pictures out of nothing but noise: a schedule in which no frame is given."""

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


@torch.inference_mode()
def generate(world: World, controls: Sequence[Controls], *, num_steps: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Imagines a clip with no start context; all its frames are denoised together.

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
    if not controls or num_steps < 1:
        raise WorldsimError(f"there were {len(controls)} frames and num_steps was {num_steps}; give at least 1 of each.")
    spec, config = world.control_spec, world.config
    noise = torch.randn(
        1, len(controls), *world.grid, config.tokenizer.latent_channels, generator=torch.Generator().manual_seed(seed)
    )
    vectors = torch.from_numpy(spec.to_vectors(controls, len(controls)) / spec.scale())
    latents = denoise(
        world.dynamics,
        noise.to(world.device, world.dtype),
        schedule(np.zeros(len(controls), bool), num_steps),
        vectors[None].to(world.device, world.dtype),
    )
    return world.tokenizer.decode_frames(latents[0]).cpu().numpy()
