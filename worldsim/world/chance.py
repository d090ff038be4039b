"""Where the random numbers of a batch of worlds come from: every row has a generator of its own."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Chance:
    """Random numbers of `batch` rows, drawn on the CPU, so that they are the same for every device.

    Attributes:
        seeds: with which each row was last restarted.
    """

    def __init__(self, batch: int) -> None:
        self.seeds = [0] * batch
        self._rows = [torch.Generator(device="cpu") for _ in range(batch)]
        self._next_seed = [secrets.randbits(63) for _ in range(batch)]

    def __getstate__(self) -> dict[str, Any]:
        generators = [row.get_state() for row in self._rows]
        return {"rows": generators, "next_seed": list(self._next_seed), "seeds": list(self.seeds)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.seeds = list(state["seeds"])
        self._rows, self._next_seed = [torch.Generator(device="cpu") for _ in state["rows"]], list(state["next_seed"])
        for generator, saved in zip(self._rows, state["rows"], strict=True):
            generator.set_state(saved)

    def restart(self, row: int, seed: int | None, starts: int) -> int:
        """Seeds a row, by its own random numbers where `seed` is None, and draws one of so many starts."""
        self.seeds[row] = self._next_seed[row] if seed is None else seed
        generator = self._rows[row].manual_seed(self.seeds[row])
        self._next_seed[row], start = (
            int(torch.randint(end, (), generator=generator, device="cpu", dtype=torch.int64)) for end in (2**63 - 1, starts)
        )
        return start

    def draw(self, active: NDArray[np.bool_], latent_shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Random numbers of one frame, standard normal.

        Args:
            active: bool `(B,)`; the other rows draw nothing and get zeros, and infinity for the last number.
            latent_shape: `(h, w, C)`.

        Returns:
            `(B, 2, h, w, C)`: noise to imagine the frame from, and to keep it with; and `(B, h * w + 1)`:
            what chooses the codeword of each patch, and what decides on the end.
        """
        size, patches = math.prod(latent_shape), math.prod(latent_shape[:2])
        drawn = torch.full((len(self._rows), 2 * size + patches + 1), math.inf, device="cpu", dtype=torch.float32)
        for row in np.flatnonzero(active):
            drawn[row].normal_(generator=self._rows[row])
        drawn[~active, :-1] = 0
        return drawn[:, : 2 * size].unflatten(1, (2, *latent_shape)), drawn[:, 2 * size :]

    def get_state(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """States of the generators, uint8 `(R, bytes)`, and the seeds that come next, int64 `(R,)`."""
        noise = torch.stack([self._rows[row].get_state() for row in rows])
        return noise, torch.tensor([self._next_seed[row] for row in rows], dtype=torch.int64, device="cpu")

    def set_state(self, row: int, noise: Tensor, next_seed: int, seed: int | None) -> None:
        """Continues from the state `(bytes,)` of a generator, or from `seed` where it is given."""
        self._next_seed[row] = next_seed
        self._rows[row].set_state(noise.clone())  # torch crashes on a view
        if seed is not None:
            self._rows[row].manual_seed(seed)
