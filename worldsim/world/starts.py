"""Start contexts, and what a ring holds after each of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from worldsim.model.dit import DiT
from worldsim.model.ring import RingRows
from worldsim.model.sampler import Stream

CACHED = 32


class Starts:
    """Start contexts of a world. Rings are filled when they are needed, and the last ones are kept.

    Args:
        model: the dynamics.
        latents: `(S, window, h, w, C)`, on the model's device.
        controls: `(S, window, A)` in the model's units, that produced them.
    """

    def __init__(self, model: DiT, latents: Tensor, controls: Tensor) -> None:
        self.model, self.latents, self.controls = model, latents, controls
        self._rows: OrderedDict[tuple[int, float], RingRows] = OrderedDict()
        self._stream: Stream | None = None

    def __len__(self) -> int:
        return len(self.latents)

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy or a pickle, which fills rings of its own."""
        return {**self.__dict__, "_rows": OrderedDict(), "_stream": None}

    def ring_after(self, start: int, context_level: float) -> RingRows:
        """One row of a ring that holds a start context. Its noise is always the same, so that one copy serves
        every row.
        """
        key = (start, context_level)
        if key not in self._rows:
            self._rows[key] = self._prefill(start, context_level)
        self._rows.move_to_end(key)
        while len(self._rows) > max(CACHED, len(self)):
            self._rows.popitem(last=False)
        return self._rows[key]

    def _prefill(self, start: int, context_level: float) -> RingRows:
        if self._stream is None:
            self._stream = Stream(self.model, (self.latents.shape[2], self.latents.shape[3]), 1)
        self._stream.context_level = context_level
        self._stream.ring.clear()
        context, controls = self.latents[start, None], self.controls[start, None]
        generator = torch.Generator(device="cpu").manual_seed(start)
        noise = torch.randn(context.shape, generator=generator, device="cpu", dtype=torch.float32)
        self._stream.prefill(context, controls, noise.to(context.device))
        return self._stream.ring.take([0])
