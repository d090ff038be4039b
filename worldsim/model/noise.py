"""The noise matrix is the task: training levels per frame, and schedules handed to the denoise loop.

Level 0 is a clean (given) frame, level 1 is pure noise, and in between `z = (1 - level) * x + level * noise`
(flow matching, Lipman et al. 2022, arXiv:2210.02747). Independent levels per frame follow diffusion forcing
(Chen et al. 2024, arXiv:2407.01392), step sizes follow shortcut models (Frans et al. 2024, arXiv:2410.12557)
as used in Dreamer 4 (Hafner et al. 2025, arXiv:2509.24527).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.errors import ConfigError, check_int, check_number


@dataclass(frozen=True)
class NoiseConfig:
    """How noise levels are drawn in training.

    Attributes:
        context_share: share of frames that are nearly clean, level uniform in [0, context_max]; they serve as
            context.
        context_max: largest level of such a frame.
        pure_share: share of frames at level 1, where everything must come from context and controls.
        shift: above 1 moves the other levels toward noise, for larger token counts (Esser et al. 2024,
            arXiv:2403.03206, 5.3.2).
        finest: the smallest shortcut step is `1 / finest`; a power of two.
        shortcut_share: share of windows trained on shortcut targets instead of data.
        ramp: loss weight of a frame is `ramp + (1 - ramp) * (1 - level)`; 1 weighs all levels alike.

    Raises:
        ConfigError: if a field is of the wrong type or out of range.
    """

    context_share: float = 0.3
    context_max: float = 0.1
    pure_share: float = 0.2
    shift: float = 1.0
    finest: int = 4
    shortcut_share: float = 0.15
    ramp: float = 0.3

    def __post_init__(self) -> None:
        for name in ("context_share", "context_max", "pure_share", "shortcut_share", "ramp"):
            check_number(name, getattr(self, name), 0, 1)
        if self.context_share + self.pure_share > 1:
            raise ConfigError(
                f"pure_share was {self.pure_share:g}; with context_share, {self.context_share:g}, it must not exceed 1."
            )
        if check_number("shift", self.shift, 0, math.inf) == 0:
            raise ConfigError("shift was 0; give a number above 0, such as 1.")
        finest = check_int("finest", self.finest, 2, 2**16)
        if finest & (finest - 1):
            raise ConfigError(f"finest was {finest}; give a power of two, such as 4.")


def add_noise(x: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """Clean `(B, T, ...)`, noise of the same shape, levels `(B, T)` -> noised latents."""
    levels = levels.reshape(*levels.shape, *([1] * (x.ndim - levels.ndim))).to(x.dtype)
    return x + levels * (noise - x)


def step_toward(z: Tensor, x: Tensor, level: Tensor, target: Tensor) -> Tensor:
    """Euler step of the flow from `level` down to `target` given the clean estimate `x`; levels `(B, T)`."""
    ratio = target / level.clamp_min(1e-6)
    ratio = ratio.reshape(*ratio.shape, *([1] * (x.ndim - ratio.ndim))).to(x.dtype)
    return x + ratio * (z - x)


def draw_context(config: NoiseConfig, batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """Levels `(B, T)` of frames that only serve as context."""
    return config.context_max * _uniform(batch, frames, generator)


def draw_levels(config: NoiseConfig, batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """Levels `(B, T)` for training on data, drawn independently per frame."""
    kind = _uniform(batch, frames, generator)
    uniform = _uniform(batch, frames, generator)
    levels = config.shift * uniform / (1 + (config.shift - 1) * uniform)
    levels = torch.where(kind < config.context_share, uniform * config.context_max, levels)
    return torch.where(kind > 1 - config.pure_share, 1.0, levels)


def draw_shortcuts(config: NoiseConfig, batch: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Levels and step sizes `(B, T)` for shortcut training: sizes `2 / finest .. 1`, levels multiples of it."""
    sizes = config.finest.bit_length() - 1
    exponent = torch.randint(sizes, (batch, frames), generator=generator, device=generator.device, dtype=torch.int64)
    step_sizes = 0.5**exponent
    slots = 2**exponent
    index = (_uniform(batch, frames, generator) * slots).long() + 1
    return index * step_sizes, step_sizes


def _uniform(batch: int, frames: int, generator: torch.Generator) -> Tensor:
    return torch.rand(batch, frames, generator=generator, device=generator.device, dtype=torch.float32)


def loss_weight(config: NoiseConfig, levels: Tensor) -> Tensor:
    """Ramp weight of each frame (Dreamer 4, section 3.2, with the floor as a setting)."""
    return config.ramp + (1 - config.ramp) * (1 - levels)


def schedule(given: NDArray[np.bool_], num_steps: int, start: float = 1.0) -> NDArray[np.float32]:
    """Levels `(num_steps + 1, frames)`: frames that are `given` stay at 0, the others fall evenly from
    `start` to 0.

    With all but the last given it is the next frame; with the last given it extends backwards; with both ends
    given it connects them; with none given it makes an image or a clip; with `start` below 1 on a noised clip
    it edits (SDEdit, arXiv:2108.01073).
    """
    if num_steps < 1 or not 0 < start <= 1:
        raise ValueError(f"num_steps was {num_steps} and start {start}; num_steps must be at least 1 and start in (0, 1].")
    fall = np.linspace(start, 0, num_steps + 1, dtype=np.float32)
    return np.where(np.asarray(given, bool)[None, :], np.float32(0), fall[:, None])
