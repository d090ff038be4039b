"""Past frames as keys and values, in storage of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from worldsim.model.dit import DiTConfig


class RingRows(NamedTuple):
    """Copies of `R` rows of a ring.

    Attributes:
        keys, values: `(layers, R, window, N, H, D)`.
        position: int64 `(R,)`.
    """

    keys: Tensor
    values: Tensor
    position: Tensor


class Ring:
    """Keys and values of the last `window` frames of every temporal layer, in storage of fixed size.

    `position` `(B,)` int64 on the device is the index of the frame now being imagined; it lives in slot
    `position % window`. Rows may be at different ages; slots that a row has not reached yet are never
    attended.

    Args:
        config: of the transformer.
        batch: rows, `B`.
        tokens: of a frame, `N`.
        device, dtype: of the storage.
    """

    def __init__(self, config: DiTConfig, batch: int, tokens: int, device: torch.device, dtype: torch.dtype):
        layers = sum(config.kind(i) != "space" for i in range(config.depth))
        shape = (layers, batch, config.window, tokens, config.kv_heads, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.position = torch.zeros(batch, dtype=torch.int64, device=device)
        self.window = config.window

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Puts one frame's `(B, N, H, D)` into the current slot; returns all slots `(B, S, N, H, D)`."""
        rows = torch.arange(key.shape[0], device=key.device, dtype=torch.int64)
        slot = self.position % self.window
        self.keys[layer][rows, slot] = key.to(self.keys.dtype)
        self.values[layer][rows, slot] = value.to(self.values.dtype)
        return self.keys[layer], self.values[layer]

    def write_layers(self, keys: Tensor, values: Tensor) -> None:
        """Puts one frame's keys and values of all layers, `(layers, B, N, H, D)`, into the current slot."""
        rows = torch.arange(keys.shape[1], dtype=torch.int64, device=keys.device)
        places = rows * self.window + self.position % self.window
        for storage, new in ((self.keys, keys), (self.values, values)):
            # Four times as fast on a CPU as indexing with rows and slots.
            storage.flatten(1, 2).index_copy_(1, places, new.to(storage.dtype))

    def valid(self) -> Tensor:
        """`(B, S)` bool: slots that hold a frame of this row's episode, the current one included."""
        return torch.arange(self.window, device=self.position.device, dtype=torch.int64) <= self.position[:, None]

    def advance(self, active: Tensor | None = None) -> None:
        """Moves on to the next frame: all rows, or those where `active` `(B,)` bool is True.

        What was written for the others lies in the slot of their next frame, where nothing ever reads it.
        """
        self.position += 1 if active is None else active

    def take(self, rows: Sequence[int]) -> RingRows:
        """Copies of some rows."""
        chosen = list(rows)
        return RingRows(self.keys[:, chosen], self.values[:, chosen], self.position[chosen])

    def put(self, rows: Sequence[int], source: RingRows) -> None:
        """Replaces some rows: by one of `source` each, or all by its only one."""
        assert len(source.position) in (1, len(rows))
        for i, row in enumerate(rows):
            one = i % len(source.position)
            self.keys[:, row], self.values[:, row] = source.keys[:, one], source.values[:, one]
            self.position[row] = source.position[one]

    def clear(self) -> None:
        """Forgets all frames of all rows."""
        self.position.zero_()
