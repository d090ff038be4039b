"""A small detector of a game's objects, trained on real frames with the game's own labels, to search dreams for them.

Every class has a heat map of object centres (Zhou et al. 2019, "Objects as Points", arXiv:1904.07850); the peaks are the objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import trange

from worldsim.device import autocast
from worldsim.files import write_bytes
from worldsim.model.tokenizer import Conv, ResidualBlock, to_images

STRIDE = 2  # pixels per cell of a heat map
SMALLEST = 2.0  # pixels; an object that is narrower or lower may be missed
MARGIN = 2.0  # pixels by which a detection may miss the box of its object
THRESHOLD = 0.35
WIDTHS = (24, 48, 64)  # at 1/2, 1/4 and 1/8 of the resolution
BATCH = 32

Boxes = NDArray[np.float32]  # (n, 5): class, x, y, width, height in pixels


class Probe(nn.Module):
    """Images `(B, 3, H, W)` in [-1, 1] -> heat logits `(B, classes, H / 2, W / 2)`; both sides multiples of 8.

    Args:
        apart: for each class the distance in pixels, along x or y, that two objects are at least apart; of detections that are
            nearer, the most certain counts.
        zoom: times by which images are enlarged first, so that smaller things are found, by a network that is narrower by as
            much. Heat maps are larger by as much, too.
    """

    def __init__(self, apart: Sequence[float], zoom: int = 1):
        super().__init__()
        self.apart, self.zoom = tuple(apart), zoom
        classes = len(apart)
        fine, middle, coarse = (width // zoom for width in WIDTHS)
        cpu = torch.device("cpu")
        self.fine = nn.Sequential(nn.PixelUnshuffle(2), Conv(12, fine, 3, cpu), nn.SiLU())
        self.middle = nn.Sequential(nn.PixelUnshuffle(2), Conv(4 * fine, middle, 1, cpu), ResidualBlock(middle, cpu))
        self.coarse = nn.Sequential(
            nn.PixelUnshuffle(2), Conv(4 * middle, coarse, 1, cpu), ResidualBlock(coarse, cpu), ResidualBlock(coarse, cpu)
        )
        self.to_middle = nn.Sequential(Conv(coarse, 4 * middle, 1, cpu), nn.PixelShuffle(2))
        self.to_fine = nn.Sequential(ResidualBlock(middle, cpu), Conv(middle, 4 * fine, 1, cpu), nn.PixelShuffle(2))
        last = Conv(fine, classes, 1, cpu)
        self.head = nn.Sequential(Conv(fine, fine, 3, cpu), nn.SiLU(), last)
        nn.init.constant_(last.bias, -4.0)  # objects are rare

    @property
    def smallest(self) -> float:
        """Pixels of a frame; what is narrower or lower may be missed."""
        return SMALLEST / self.zoom

    def forward(self, images: Tensor) -> Tensor:
        if self.zoom > 1:
            images = images.repeat_interleave(self.zoom, 2).repeat_interleave(self.zoom, 3)
        fine = self.fine(images)
        middle = self.middle(fine)
        middle = middle + self.to_middle(self.coarse(middle))
        return self.head(fine + self.to_fine(middle))


def train_probe(
    frames: NDArray[np.uint8], boxes: Sequence[Boxes], apart: Sequence[float], steps: int, seed: int, zoom: int = 1
) -> Probe:
    """Trains a probe on labelled real frames.

    Args:
        frames: uint8 `(n, H, W, 3)`; each is mirrored half of the time. Where they are enlarged, half of the things are faded,
            see `fade`: what keeps less than half of its contrast is no thing any more.
        boxes: of each frame.
        apart, zoom: see `Probe`.
        steps, seed: of the training.
    """
    generator, rng = torch.Generator("cpu").manual_seed(seed), np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        probe = Probe(apart, zoom).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(probe.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    batch_size = BATCH // zoom
    for _ in trange(steps, desc="training the object probe", leave=False):
        chosen = rng.integers(0, len(frames), batch_size)
        batch, labels = frames[chosen], [boxes[i] for i in chosen]
        if zoom > 1:
            labels = [_fade_some(frame, of_frame, rng) for frame, of_frame in zip(batch, labels, strict=True)]
        images = to_images(torch.from_numpy(batch))
        heat = torch.from_numpy(np.stack([heat_map(of, frames.shape[1], frames.shape[2], len(apart), zoom) for of in labels]))
        mirrored = torch.rand(batch_size, 1, 1, 1, generator=generator, device="cpu", dtype=torch.float32) < 0.5
        images, heat = (torch.where(mirrored, a.flip(-1), a) for a in (images, heat))
        with autocast(images.device):
            logits = probe(images)
        optimizer.zero_grad()
        heat_loss(logits.float(), heat).backward()
        optimizer.step()
        schedule.step()
    return probe.eval()


def fade(frame: NDArray[np.uint8], box: NDArray[np.float32], kept: float) -> None:
    """Takes contrast from a thing: mixes the pixels of its box with the median colour of those around the box, in place.

    Args:
        frame: uint8 `(H, W, 3)`.
        box: `(5,)`, a row of `Boxes`.
        kept: share of its contrast that is left, from 0 (it is painted over) to 1.
    """
    left, top, right, bottom = (int(v) for v in (box[1], box[2], np.ceil(box[1] + box[3]), np.ceil(box[2] + box[4])))
    inside = slice(top, bottom), slice(left, right)
    around = frame[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2].reshape(-1, 3)
    outside = np.ones((frame.shape[0], frame.shape[1]), bool)
    outside[inside] = False
    ring = outside[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2].ravel()
    ground = np.median(around[ring], 0)
    frame[inside] = (ground + kept * (frame[inside] - ground)).round().astype(np.uint8)


def _fade_some(frame: NDArray[np.uint8], boxes: Boxes, rng: np.random.Generator) -> Boxes:
    """Fades half of the things of a frame, in place, and gives the boxes of those that still count."""
    kept = np.where(rng.random(len(boxes)) < 0.5, rng.random(len(boxes)), 1.0)
    for box, share in zip(boxes, kept, strict=True):
        if share < 1:
            fade(frame, box, share)
    return boxes[kept >= 0.5]


def heat_map(boxes: Boxes, height: int, width: int, classes: int, zoom: int = 1) -> NDArray[np.float32]:
    """Target `(classes, zoom * height / 2, zoom * width / 2)`: 1 at an object's centre, less around it, -1 in small objects."""
    boxes, height, width = boxes * np.array((1, *4 * (zoom,)), np.float32), zoom * height, zoom * width
    heat = np.zeros((classes, height // STRIDE, width // STRIDE), np.float32)
    rows, columns = np.ogrid[: heat.shape[1], : heat.shape[2]]
    small = is_small(boxes)
    for kind, x, y, w, h in boxes[small]:
        left, top, right, bottom = (int(v // STRIDE) for v in (x, y, x + w, y + h))
        heat[int(kind), top : bottom + 1, left : right + 1] = -1
    for kind, x, y, w, h in boxes[~small]:
        row = min(int((y + h / 2) // STRIDE), heat.shape[1] - 1)
        column = min(int((x + w / 2) // STRIDE), heat.shape[2] - 1)
        spread = max(0.5, max(w, h) / STRIDE / 6)
        bump = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * spread**2))
        heat[int(kind)] = np.maximum(heat[int(kind)], np.where(bump < 1e-3, -1, bump).astype(np.float32))
    return heat


def heat_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Focal loss of "Objects as Points", equation 1; cells at -1 do not count."""
    chance = logits.sigmoid()
    centre = heat == 1
    found = (1 - chance) ** 2 * F.logsigmoid(logits) * centre
    empty = (1 - heat) ** 4 * chance**2 * F.logsigmoid(-logits) * (~centre & (heat >= 0))
    return -(found + empty).sum() / centre.sum().clamp_min(1)


@torch.inference_mode()
def detect(probe: Probe, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Objects in uint8 frames `(n, H, W, 3)`: per frame `(objects, 4)`, class, centre (x, y) in pixels and confidence in
    [0, 1], most certain first.
    """
    found: list[NDArray[np.float32]] = []
    for part in torch.from_numpy(frames).split(64) if len(frames) else ():
        chance = probe(to_images(part)).sigmoid()
        peak = (chance == _highest_around(chance, [probe.zoom * distance for distance in probe.apart])) & (chance > THRESHOLD)
        frame, kind, row, column = peak.nonzero(as_tuple=True)
        sure = chance[peak]
        order = sure.argsort(descending=True)
        cell = STRIDE / probe.zoom
        places = torch.stack([kind, (column + 0.5) * cell, (row + 0.5) * cell, sure], 1).float()[order].numpy()
        found += [places[(frame[order] == i).numpy()] for i in range(len(part))]
    return found


def _highest_around(chance: Tensor, apart: Sequence[float]) -> Tensor:
    """`(n, classes, h, w)`: the highest value within `apart` pixels of each cell, and at least among its neighbours."""
    cells = [max(1, int(distance / STRIDE)) for distance in apart]
    planes = zip(chance.split(1, 1), cells, strict=True)
    return torch.cat([F.max_pool2d(plane, 2 * reach + 1, 1, reach) for plane, reach in planes], 1)


def is_small(boxes: Boxes, smallest: float = SMALLEST) -> NDArray[np.bool_]:
    """`(n,)`: boxes narrower or lower than `smallest` pixels."""
    return boxes[:, 3:].min(1, initial=np.inf) < smallest


def match(found: NDArray[np.float32], boxes: Boxes, classes: int, smallest: float = SMALLEST) -> NDArray[np.int64]:
    """Compares the detections of a frame with its labels: they agree where one lies in a box of its class.

    Returns:
        `(classes, 4)`: objects, those of them that were detected, detections, those of them that hit an object. Objects that are
        too small are left out of the first two.
    """
    low, high = boxes[:, 1:3] - MARGIN, boxes[:, 1:3] + boxes[:, 3:] + MARGIN
    places = found[:, None, 1:3]
    agree = (found[:, None, 0] == boxes[:, 0]) & (low <= places).all(-1) & (places <= high).all(-1)
    large = ~is_small(boxes, smallest)
    chosen = (boxes[large], boxes[large & agree.any(0)], found, found[agree.any(1)])
    return np.stack([tally(objects, classes) for objects in chosen], 1)


def tally(objects: NDArray[np.float32], classes: int) -> NDArray[np.int64]:
    """`(classes,)`: how many of each class, which stands first in each row."""
    return np.bincount(objects[:, 0].astype(int), minlength=classes)


def save_probe(probe: Probe, path: Path) -> None:
    """Writes the weights as safetensors."""
    weights = {name: value.contiguous() for name, value in probe.state_dict().items()}
    write_bytes(path, save(weights, {"zoom": str(probe.zoom)}))


def load_probe(path: Path, apart: Sequence[float]) -> Probe:
    """Reads the weights that `save_probe` wrote; raises SafetensorError or RuntimeError if they are damaged."""
    with safe_open(path, "pt") as file:
        zoom = int((file.metadata() or {}).get("zoom", 1))
    probe = Probe(apart, zoom).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    probe.load_state_dict(load_file(path))
    return probe.eval()
