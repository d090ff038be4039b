"""What worlds hand out at every step, and what their futures depend on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worldsim.model.ring import RingRows


class Step(NamedTuple):
    """What a step of `B` worlds gives. Arrays are NumPy.

    Attributes:
        frame: uint8 `(B, H, W, 3)`.
        latent: float32 tensor `(B, h, w, C)`, on the world's device; autograd may use it.
        reward: float32 `(B,)`, of the action that led to this frame.
        terminated: bool `(B,)`: the episode ends with this frame. The world can be stepped further all the
            same.
        end_probability: float32 `(B,)`, that `terminated` was drawn from.
    """

    frame: NDArray[np.uint8]
    latent: Tensor
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    end_probability: NDArray[np.float32]


class WorldState(NamedTuple):
    """What the futures of `R` worlds depend on, apart from weights and settings. Copies, on the world's
    device.

    Attributes:
        past: what their rings hold.
        noise: states of the noise generators, uint8 `(R, bytes)`, on the CPU.
        next_seed: int64 `(R,)`, on the CPU, that a reset without a seed would take.
    """

    past: RingRows
    noise: Tensor
    next_seed: Tensor


class Origin(NamedTuple):
    """How a row of a world was started.

    Attributes:
        seed: of its random numbers.
        start: index of its start context.
        chosen: whether the start was given, rather than drawn from the seed.
    """

    seed: int
    start: int
    chosen: bool
