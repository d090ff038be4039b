"""Linear layers that are made on the device they are for."""

from __future__ import annotations

import torch
from torch import nn


class Linear(nn.Linear):
    """Made in float32; on the meta device in no time, too."""

    def __init__(self, inputs: int, outputs: int, device: torch.device, *, bias: bool = True):
        super().__init__(inputs, outputs, bias=bias, device=device, dtype=torch.float32)

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()
