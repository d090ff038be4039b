"""Starts that players ask for: a seed, a start context, what was seen before, or a picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import WorldError, check_int
from worldsim.model.ring import RingRows
from worldsim.world.checks import LARGEST_SEED


class Past(NamedTuple):
    """Frames from which a dream can go on, such as those of a real game.

    Attributes:
        ring: what a row of a ring holds after them.
        image: the last one, uint8 `(H, W, 3)`.
    """

    ring: RingRows
    image: NDArray[np.uint8]


class Start(NamedTuple):
    """A start that a player asked for.

    Attributes:
        seed: of everything that happens by chance.
        context: index of the start context; None for one drawn from the seed.
        past: what the dream goes on from instead of a start context of the world.
        picture: that it begins with instead, uint8 `(H, W, 3)`.
    """

    seed: int
    context: int | None
    past: Past | None = None
    picture: NDArray[np.uint8] | None = None


def check_start(seed: int, start: int | None, starts: int) -> Start:
    """A start that there is.

    Raises:
        WorldError: if the seed is not from 0 to 2**64 - 1, or there is no such start context.
    """
    if start is not None:
        start = check_int("start", start, 0, starts - 1, WorldError)
    return Start(check_int("seed", seed, 0, LARGEST_SEED, WorldError), start)
