"""A small network that tells from pictures which place they show, what is seen on which side, and the weapon in hand.

It judges whether generated clips show what their prompt says, and it captions recordings that hold no state of the game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsim.envs.games.studio import KINDS, PLACES, WEAPONS
from worldsim.errors import DataError
from worldsim.studio.scene import COLUMNS, LEAST_HEIGHT, LEFT, RIGHT, SEEN, Scene, Thing, side_of
from worldsim.studio.weights import PLAIN, load_weights, save_weights

WIDTHS = (32, 64, 64, 128, 128)  # channels of each convolution
STRIDES = (2, 2, 1, 2, 1)
BLUR = 0.05  # of positions, as a share of the width: half a column
SURE = 0.5  # a place or weapon of less probability counts as unknown
PIXELS, LARGE = 96 * 72, 0.7  # of the frames that it learned from; larger ones are scaled down to about as many
BATCH = 64  # frames that are looked at together
WEIGHTS = "judge.safetensors"


@dataclass(frozen=True)
class Attributes:
    """What B clips show.

    Attributes:
        places: probabilities, float32 `(B, P)` in the order of `worldsim.envs.games.studio.PLACES`; each row sums to 1.
        weapons: probabilities, float32 `(B, W)` in the order of `WEAPONS`; each row sums to 1.
        seen: probability that a thing of a kind of `KINDS` is seen in a good part of the clip, float32 `(B, K)`.
        where: in the middle of the clip's frames that thing is at this share of the width, float32 `(B, K)`.
        thresholds: of `seen`, above which a kind counts as seen, float32 `(K,)`.
    """

    places: NDArray[np.float32]
    weapons: NDArray[np.float32]
    seen: NDArray[np.float32]
    where: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.places)

    def take(self, chosen: NDArray[np.integer]) -> Attributes:
        """Those of some clips."""
        places, weapons, seen, where = (part[chosen] for part in (self.places, self.weapons, self.seen, self.where))
        return Attributes(places, weapons, seen, where, self.thresholds)

    def thing(self, i: int, k: int) -> Thing | None:
        """The thing of kind number `k` that clip `i` shows; None if it shows none."""
        return Thing(KINDS[k], side_of(float(self.where[i, k]))) if self.seen[i, k] > self.thresholds[k] else None

    def scene(self, i: int) -> Scene:
        """What clip `i` shows, the surest thing first; a place or weapon that is not sure is unknown."""
        place, weapon = self.places[i], self.weapons[i]
        things = [self.thing(i, int(k)) for k in np.argsort(-self.seen[i])]
        return Scene(
            place=PLACES[int(place.argmax())].name if place.max() > SURE else None,
            things=tuple(thing for thing in things if thing),
            weapon=WEAPONS[int(weapon.argmax())] if weapon.max() > SURE else None,
        )


def join(parts: Sequence[Attributes]) -> Attributes:
    """Of all clips, one after the other."""
    names = ("places", "weapons", "seen", "where")
    places, weapons, seen, where = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Attributes(places, weapons, seen, where, parts[0].thresholds)


class AttributeNet(nn.Module):
    """Convolutions over a frame of any size: places and weapons from all of it, things from the maxima of its columns."""

    thresholds: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer, stride in zip((3, *WIDTHS[:-1]), WIDTHS, STRIDES, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, stride, 1, bias=False, **PLAIN), nn.BatchNorm2d(outer, **PLAIN), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.scene = nn.Linear(2 * WIDTHS[-1], len(PLACES) + len(WEAPONS), **PLAIN)
        self.things = nn.Conv2d(WIDTHS[-1], len(KINDS), 1, **PLAIN)
        nn.init.constant_(self.things.bias, -4.0)  # type: ignore[arg-type]  # most kinds are not seen in most frames
        self.register_buffer("thresholds", torch.full((len(KINDS),), 0.5, **PLAIN))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `(B, P)` and `(B, W)`, and of a thing of each kind in each column `(B, K, w)`, of frames `(B, 3, H, W)` from 0
        to 1; w is W / 8.
        """
        features = self.body(frames * 4 - 1)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        places, weapons = self.scene(pooled).split([len(PLACES), len(WEAPONS)], dim=1)
        return places, weapons, self.things(features).amax(dim=2)


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
        net = AttributeNet()
        load_weights(net, path, WEIGHTS, "judge")
        return cls(net)

    def save(self, path: str | Path) -> None:
        """Writes the weights as bf16 safetensors."""
        save_weights(self.net, path)

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """Probability of each kind `(K,)` above which it counts as seen."""
        values: NDArray[np.float32] = self.net.thresholds.numpy()
        return values

    def __call__(self, frames: Tensor | NDArray[np.uint8]) -> Attributes:
        """What clips show. Large frames are scaled down first.

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
                places, weapons, columns = self.net(part)
                best, column = columns.sigmoid().max(dim=2)
                parts.append((places.softmax(1), weapons.softmax(1), best, (column + 0.5) / columns.shape[2]))
        places, weapons, best, at = (torch.cat(kind).unflatten(0, (batch, length)).numpy() for kind in zip(*parts, strict=True))
        seen = np.quantile(best, 1 - SEEN, axis=1).astype(np.float32)
        return Attributes(places.mean(axis=1), weapons.mean(axis=1), seen, _median(at, best), self.thresholds)


def agreement(wanted: Sequence[Scene], judged: Attributes) -> dict[str, float]:
    """How far clips show what was wanted.

    Args:
        wanted: a scene for each clip, from a recording's state or from a prompt; what it does not tell is not counted.
        judged: what the clips show.

    Returns:
        "place", "weapon": shares of the clips in which it is the most probable one. "things": share of the wanted things that
        are seen. "sides": share of those seen that are on the side that was wanted, or less than a column away from it.
        "absent": share of the kinds that were not wanted, in clips of which something is wanted, that are not seen. NaN where
        nothing was wanted.

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
            thing = judged.thing(i, k)
            if kind in kinds:
                hits["things"].append(thing is not None)
                if thing is not None:
                    hits["sides"].append(_stands(float(judged.where[i, k]), kinds[kind].side))
            elif kinds:
                hits["absent"].append(thing is None)
    return {name: float(np.mean(values)) if values else float("nan") for name, values in hits.items()}


def _stands(x: float, side: str) -> bool:
    """Whether a share of the width is on a side, give or take what the judge cannot tell."""
    low, high = {"left": (0.0, LEFT), "middle": (LEFT, RIGHT), "right": (RIGHT, 1.0)}[side]
    return low - BLUR <= x <= high + BLUR


def _median(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted median over T of `(B, T, K)` -> `(B, K)`."""
    order = np.argsort(values, axis=1)
    values, weights = (np.take_along_axis(array, order, axis=1) for array in (values, weights))
    half = weights.cumsum(axis=1) >= weights.sum(axis=1, keepdims=True) / 2
    middle: NDArray[np.float32] = np.take_along_axis(values, half.argmax(axis=1)[:, None], axis=1)[:, 0]
    return middle


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


def targets(states: NDArray[np.float32], names: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """What T frames show, from the game's state.

    Args:
        states: `(T, S)`.
        names: of the state values.

    Returns:
        Places `(T,)` and weapons `(T,)`, int64, and the kind, x and height of up to six things, float32 `(T, 6, 3)`.
    """
    column = {name: i for i, name in enumerate(names)}
    things = states[:, [column[name] for name in COLUMNS]].reshape(len(states), -1, 4)[:, :, [0, 1, 3]]
    places, weapons = (torch.from_numpy(states[:, column[name]].astype(np.int64)) for name in ("place", "weapon"))
    return places, weapons, torch.from_numpy(np.ascontiguousarray(things))


def in_columns(things: Tensor, columns: int, aspect: float) -> tuple[Tensor, Tensor]:
    """Where things stand, as a network should tell it.

    Args:
        things: kind, x and height of each, `(B, 6, 3)`; a kind of -1 is nothing.
        columns: w, of a frame.
        aspect: height of a frame divided by its width.

    Returns:
        float32 `(B, K, w)`: 1 in the column of a thing's centre; and the weight of each, 0 in the columns beside it, which it
        covers too, and where a thing is too small to be told.
    """
    rows = torch.arange(len(things), dtype=torch.int64)
    target, weight = torch.zeros(2, len(things), len(KINDS), columns, dtype=torch.float32)
    weight += 1
    centre = (things[..., 1] * columns).long().clamp(0, columns - 1)
    reach = (0.35 * things[..., 2] * aspect * columns).clamp(min=1.0)
    near = (torch.arange(columns, dtype=torch.float32) - centre[..., None]).abs() <= reach[..., None]
    for slot in range(things.shape[1]):
        there = things[:, slot, 0] >= 0
        kind = things[there, slot, 0].long()
        weight[rows[there], kind] *= (~near[there, slot]).float()
    for slot in range(things.shape[1]):
        large = (things[:, slot, 0] >= 0) & (things[:, slot, 2] >= LEAST_HEIGHT)
        at = rows[large], things[large, slot, 0].long(), centre[large, slot]
        target[at], weight[at] = 1.0, 2.0
    return target, weight


def loss(net: AttributeNet, frames: Tensor, told: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Cross-entropy of all that a network tells of frames `(B, 3, H, W)`; see `targets`."""
    places, weapons, columns = net(frames)
    target, weight = in_columns(told[2], columns.shape[2], frames.shape[2] / frames.shape[3])
    seen = F.binary_cross_entropy_with_logits(columns, target, weight=weight, reduction="sum") / len(frames)
    return F.cross_entropy(places, told[0]) + F.cross_entropy(weapons, told[1]) + 0.5 * seen
