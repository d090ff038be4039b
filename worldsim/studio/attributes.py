"""A small network that tells from pictures which place they show, what is seen on which side, and the weapon in hand.

It judges whether generated clips show what their prompt says, and it captions recordings that hold no state of the game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from worldsim.envs.games.studio import KINDS, PLACES, WEAPONS
from worldsim.errors import DataError, WorldError
from worldsim.files import write_bytes
from worldsim.studio.scene import LEFT, RIGHT, Scene, Thing
from worldsim.world.folder import readable

SIDES = ("left", "middle", "right")
WIDTHS = (32, 64, 64, 128, 128)  # channels of each convolution
STRIDES = (2, 2, 1, 2, 1)
SURE = 0.5  # a place or weapon of less probability counts as unknown
PIXELS, LARGE = 96 * 72, 0.7  # of the frames that it learned from; larger ones are scaled down to about as many
BATCH = 64  # frames that are looked at together
WEIGHTS = "judge.safetensors"


@dataclass(frozen=True)
class Attributes:
    """What is seen, as probabilities.

    Attributes:
        places: float32 `(B, P)` in the order of `worldsim.envs.games.studio.PLACES`; each row sums to 1.
        weapons: float32 `(B, W)` in the order of `WEAPONS`; each row sums to 1.
        things: float32 `(B, K, 3)`: whether a thing of a kind of `KINDS` is seen on the left, in the middle, on the right.
    """

    places: NDArray[np.float32]
    weapons: NDArray[np.float32]
    things: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.places)

    def scene(self, i: int, thresholds: NDArray[np.float32]) -> Scene:
        """What clip `i` shows, with the things that are more probable than their kind's threshold `(K,)`, surest first."""
        place, weapon, things = self.places[i], self.weapons[i], self.things[i]
        seen = [k for k in np.argsort(-things.max(axis=1)) if things[k].max() > thresholds[k]]
        return Scene(
            place=PLACES[int(place.argmax())].name if place.max() > SURE else None,
            things=tuple(Thing(KINDS[k], SIDES[int(things[k].argmax())]) for k in seen),
            weapon=WEAPONS[int(weapon.argmax())] if weapon.max() > SURE else None,
        )


class AttributeNet(nn.Module):
    """Convolutions over a frame of any size: places and weapons from their mean, things from their maxima on each side."""

    thresholds: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer, stride in zip((3, *WIDTHS[:-1]), WIDTHS, STRIDES, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.scene = nn.Linear(2 * WIDTHS[-1], len(PLACES) + len(WEAPONS))
        self.things = nn.Conv2d(WIDTHS[-1], len(KINDS), 1)
        nn.init.constant_(self.things.bias, -4.0)  # type: ignore[arg-type]  # most kinds are not seen in most frames
        self.register_buffer("thresholds", torch.full((len(KINDS),), 0.5, dtype=torch.float32))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `(B, P)`, `(B, W)` and `(B, K, 3)` of frames `(B, 3, H, W)`, 0 to 1."""
        seen = self.body(frames * 4 - 1)
        pooled = torch.cat([seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1)
        places, weapons = self.scene(pooled).split([len(PLACES), len(WEAPONS)], dim=1)
        columns = self.things(seen).amax(dim=2)
        width = columns.shape[-1]
        left, right = max(1, round(LEFT * width)), min(width - 1, round(RIGHT * width))
        thirds = [part.amax(dim=2) for part in (columns[..., :left], columns[..., left:right], columns[..., right:])]
        return places, weapons, torch.stack(thirds, dim=2)


class Judge:
    """Tells what clips show.

    >>> judge = Judge.load()
    >>> judged = judge(clips)  # uint8 (B, T, H, W, 3)
    >>> agreement(wanted, judged)["place"]

    Args:
        net: trained.
    """

    def __init__(self, net: AttributeNet) -> None:
        self.net = net.eval()

    @classmethod
    def load(cls, path: str | Path | None = None) -> Judge:
        """Reads what `save` wrote; by default the judge that ships with the package.

        Raises:
            WorldError: if the file is missing, damaged, or of other places and things.
        """
        path = Path(str(files("worldsim.studio") / WEIGHTS)) if path is None else Path(path)
        net = AttributeNet()
        with readable(path):
            state = {name: value.float() for name, value in load_file(path).items()}
        wanted = {name: value.shape for name, value in net.state_dict().items() if value.is_floating_point()}
        given = {name: value.shape for name, value in state.items()}
        if given != wanted or not all(value.isfinite().all() for value in state.values()):
            raise WorldError(f"{path} holds no judge of these places and things; train one with worldsim studio judge.")
        net.load_state_dict(state, strict=False)
        return cls(net)

    def save(self, path: str | Path) -> None:
        """Writes the weights as bf16 safetensors."""
        floats = {name: value for name, value in self.net.state_dict().items() if value.is_floating_point()}
        write_bytes(path, save({name: value.bfloat16().contiguous() for name, value in floats.items()}))

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """Probability of each kind `(K,)` above which it counts as seen."""
        values: NDArray[np.float32] = self.net.thresholds.numpy()
        return values

    def __call__(self, frames: Tensor | NDArray[np.uint8]) -> Attributes:
        """What clips show: the mean over their frames of what each shows. Large frames are scaled down first.

        Args:
            frames: uint8 array `(B, T, H, W, 3)`, or a tensor `(B, T, 3, H, W)` of numbers from 0 to 1.

        Raises:
            DataError: for another shape or type.
        """
        clips = _as_tensor(frames)
        batch, length, _, height, width = clips.shape
        flat, parts = clips.flatten(0, 1), []
        scale = (PIXELS / (height * width)) ** 0.5
        with torch.inference_mode():
            for part in flat.split(BATCH):
                if scale < LARGE:
                    size = max(16, round(height * scale)), max(16, round(width * scale))
                    part = F.interpolate(part, size, mode="bilinear", antialias=True)
                places, weapons, things = self.net(part)
                parts.append((places.softmax(1), weapons.softmax(1), things.sigmoid()))
        values = [torch.cat(kind).unflatten(0, (batch, length)).mean(dim=1).numpy() for kind in zip(*parts, strict=True)]
        return Attributes(*values)


def agreement(wanted: Sequence[Scene], judged: Attributes, thresholds: NDArray[np.float32]) -> dict[str, float]:
    """How far clips show what was wanted.

    Args:
        wanted: a scene for each clip, from a recording's state or from a prompt; what it does not tell is not counted.
        judged: what the clips show.
        thresholds: `Judge.thresholds`.

    Returns:
        "place", "weapon": shares of the clips in which it is the most probable one. "things": share of the wanted things that
        are seen. "sides": share of those seen that are on the side that was wanted. "absent": share of the kinds that were
        not wanted, in clips of which something is wanted, that are not seen. NaN where nothing was wanted.

    Raises:
        DataError: if there is not one scene per clip.
    """
    if len(wanted) != len(judged):
        raise DataError(f"wanted has {len(wanted)} scenes for {len(judged)} clips; give one for each.")
    names = [place.name for place in PLACES]
    hits: dict[str, list[bool]] = {"place": [], "weapon": [], "things": [], "sides": [], "absent": []}
    for i, scene in enumerate(wanted):
        if scene.place is not None:
            hits["place"].append(int(judged.places[i].argmax()) == names.index(scene.place))
        if scene.weapon is not None:
            hits["weapon"].append(int(judged.weapons[i].argmax()) == WEAPONS.index(scene.weapon))
        kinds = {thing.kind: thing for thing in scene.things}
        for k, kind in enumerate(KINDS):
            seen = bool(judged.things[i, k].max() > thresholds[k])
            if kind in kinds:
                hits["things"].append(seen)
                if seen:
                    hits["sides"].append(SIDES[int(judged.things[i, k].argmax())] == kinds[kind].side)
            elif kinds:
                hits["absent"].append(not seen)
    return {name: float(np.mean(values)) if values else float("nan") for name, values in hits.items()}


def _as_tensor(frames: Tensor | NDArray[np.uint8]) -> Tensor:
    """Clips as float32 `(B, T, 3, H, W)`, 0 to 1."""
    if isinstance(frames, Tensor):
        if frames.ndim == 5 and frames.shape[2] == 3 and frames.is_floating_point():
            return frames.detach().float().cpu()
        raise DataError(f"frames is {frames.dtype} {tuple(frames.shape)}; give floats (B, T, 3, H, W), 0 to 1.")
    array = np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 5 or array.shape[4] != 3:
        raise DataError(f"frames is {array.dtype} {array.shape}; give uint8 (B, T, H, W, 3).")
    return torch.from_numpy(np.ascontiguousarray(array)).permute(0, 1, 4, 2, 3).float() / 255


def targets(states: NDArray[np.float32], names: Sequence[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What frames show, from the game's state.

    Args:
        states: `(T, S)`.
        names: of the state values.

    Returns:
        Places `(T,)` and weapons `(T,)`, int64; things, float32 0 or 1 `(T, K, 3)`; and where these count, float32 0 or 1
        `(T, K, 3)`: not where a thing is too small to be told.
    """
    from worldsim.studio.scene import COLUMNS, LEAST_HEIGHT

    column = {name: i for i, name in enumerate(names)}
    kind, x, _, height = np.moveaxis(states[:, [column[name] for name in COLUMNS]].reshape(len(states), -1, 4), 2, 0)
    things = np.zeros((len(states), len(KINDS), 3), np.float32)
    counts = np.ones_like(things)
    side = (x >= LEFT).astype(int) + (x > RIGHT)
    for slot in range(kind.shape[1]):
        rows = np.flatnonzero(kind[:, slot] >= 0)
        at = rows, kind[rows, slot].astype(int), side[rows, slot]
        large = height[rows, slot] >= LEAST_HEIGHT
        things[at] = np.maximum(things[at], large)
        counts[at] = np.where(large, 1.0, counts[at] * things[at])
    places, weapons = (torch.from_numpy(states[:, column[name]].astype(np.int64)) for name in ("place", "weapon"))
    return places, weapons, torch.from_numpy(things), torch.from_numpy(counts)


def loss(net: AttributeNet, frames: Tensor, target: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Cross-entropy of all that a network tells of frames `(B, 3, H, W)`."""
    places, weapons, things = net(frames)
    seen = F.binary_cross_entropy_with_logits(things, target[2], weight=target[3], reduction="sum") / len(frames)
    return F.cross_entropy(places, target[0]) + F.cross_entropy(weapons, target[1]) + seen
