"""A small network that tells whether frames are dreamed by the studio's world or recorded from its game."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsim.studio.weights import PLAIN, load_weights, save_weights

WIDTHS, STRIDES = (24, 32, 48, 64), (1, 2, 2, 2)  # channels and stride of each convolution
PIXELS = 96 * 72  # to which frames are scaled
BATCH = 64  # frames that are looked at together
WEIGHTS = "detector.safetensors"


class DetectorNet(nn.Module):
    """Convolutions, and the mean and spread of each channel over a frame of any size."""

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer, stride in zip((3, *WIDTHS[:-1]), WIDTHS, STRIDES, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, stride, 1, bias=False, **PLAIN), nn.BatchNorm2d(outer, **PLAIN), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * WIDTHS[-1], 1, **PLAIN)
        self.register_buffer("threshold", torch.zeros(1, **PLAIN))

    def forward(self, frames: Tensor) -> Tensor:
        """Logits `(B,)` of frames `(B, 3, H, W)` from 0 to 1: above 0 looks dreamed."""
        features = self.body(frames * 4 - 1)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.std(dim=(2, 3))], dim=1)
        logits: Tensor = self.head(pooled)[:, 0]
        return logits


class Detector:
    """Tells dreamed clips from recorded ones.

    >>> detector = Detector.load()
    >>> detector.score(frames) > detector.threshold  # uint8 (T, H, W, 3)

    Args:
        net: trained.
    """

    def __init__(self, net: DetectorNet) -> None:
        self.net = net.eval()

    @classmethod
    def load(cls, path: str | Path | None = None) -> Detector:
        """Reads what `save` wrote; by default the detector that ships with the package.

        Raises:
            WorldError: if the file is missing or damaged.
        """
        net = DetectorNet()
        load_weights(net, path, WEIGHTS, "detector")
        return cls(net)

    def save(self, path: str | Path) -> None:
        """Writes the weights as bf16 safetensors."""
        save_weights(self.net, path)

    @property
    def threshold(self) -> float:
        """Score above which a clip counts as dreamed; about 1% of recorded ones are above it, too."""
        return float(self.net.threshold)

    def score(self, frames: NDArray[np.uint8]) -> float:
        """Mean logit of frames that belong together, uint8 `(T, H, W, 3)`."""
        with torch.inference_mode():
            logits = [self.net(scaled(part)) for part in np.array_split(frames, -(-len(frames) // BATCH))]
        return float(torch.cat(logits).mean())


def scaled(frames: NDArray[np.uint8]) -> Tensor:
    """Frames `(T, H, W, 3)` as float32 `(T, 3, h, w)`, 0 to 1, scaled to about as many pixels as the detector learned from."""
    tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    height, width = frames.shape[1:3]
    scale = (PIXELS / (height * width)) ** 0.5
    size = max(16, round(height * scale)), max(16, round(width * scale))
    return F.interpolate(tensor, size, mode="bilinear", antialias=True)
