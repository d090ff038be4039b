"""Chooses size, crop and resizing of a game's frames, so that what moves stays visible in few tokens."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.games.any import Picture, Resize, resize
from worldsim.envs.games.infer.play import Clip
from worldsim.envs.games.spec import SIZE_FACTOR
from worldsim.errors import GameError

MOST_TOKENS = 40
LARGEST_CUT = 0.15  # share of a side that a crop may take
LOST = 0.01  # share of a side of which a crop may take what changes
DEAR = 1.35  # cost of a crop that takes things which do not change, such as a goal or a wall, rather than plain ground
BLUR = 0.8  # cost of blocks that are no whole number of pixels, over their size
TEXTURED = 150  # things before the background, above which they are the grain of a view that moves
CHANGED = 8  # difference in a colour, of 255, that can be seen
COARSE = 320  # pixels of the longer side of what is looked at
APART = 24  # from the background
VISIBLE = 2.0  # pixels; what is thinner is easily lost
SMALL = 3.5  # pixels; what moves and is thinner wants a training for small things
LARGE = 512  # times the smallest thing that can be seen; what is larger is not looked at further
RETAINED = 0.6  # of the contrast of what moves; less is too little
PICTURES = 48  # frames that are looked at


Pixels = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and columns


@dataclass(frozen=True)
class Look:
    """How frames are going to be made, and what was found on the way.

    Attributes:
        picture: the choice.
        kept: share of the contrast of moving things that each way of resizing keeps.
        thinnest: shorter side in pixels of the smallest thing that moves, in the frames to be; None if none stands out.
        notes: what people should know.
    """

    picture: Picture
    kept: dict[Resize, float]
    thinnest: float | None
    notes: tuple[str, ...] = ()

    @property
    def small(self) -> bool:
        """Whether something that moves is so small that training has to look out for it."""
        return self.thinnest is not None and self.thinnest < SMALL


def choose_picture(
    clips: Sequence[Clip],
    source: str,
    *,
    size: tuple[int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
    how: Resize | None = None,
) -> Look:
    """Looks at random play, and chooses.

    Args:
        clips: frames of the environment.
        source: see `Picture`.
        size: `(height, width)` that is wanted; by default the largest of at most 40 tokens that fits best.
        crop: part that is wanted; by default only as much is cut as makes the size fit, and nothing that changes.
        how: resizing that is wanted; by default "area", or what keeps small things best where that loses them.

    Raises:
        GameError: if the size or the crop is out of range.
    """
    shape, clips = clips[0].shape[1:3], list(clips)
    if crop is not None and (crop[2] > shape[0] or crop[3] > shape[1]):
        raise GameError(f"crop was {crop}, and the game shows {shape[1]}x{shape[0]} pixels; crop inside them.")
    coarse = max(1, math.ceil(max(shape) / COARSE))
    clips = [_reduced(clip, coarse) for clip in clips]
    inner = (0, 0, *shape) if crop is None else crop
    changing, drawn = (_scaled(box(clips), coarse, shape) for box in (changing_box, drawn_box))
    height, width, box = best_size(inner, changing if crop is None else None, size, drawn)
    top, left, bottom, right = (edge // coarse for edge in box)
    cut = [clip[:, top:bottom, left:right] for clip in clips]
    scale = max((bottom - top) / height, (right - left) / width)
    things = small_things(cut, scale**2 / 4)  # a quarter of a pixel, which a mean dims to a quarter
    kept = {way: _low([thing.kept(height, width, way) for thing in things], 1.0) for way in get_args(Resize)}
    dimmed = kept["area"] < RETAINED and kept["max"] > 1.2 * kept["area"]
    chosen: Resize = how or ("max" if dimmed else "area")
    found = _low([thing.side / scale for thing in things], None)
    whole = None if box == (0, 0, *shape) else box
    notes = []
    if found is not None and found < VISIBLE:
        notes.append(
            f"something that moves is about {found:.1f} pixels wide in frames of {width}x{height}: it is easily lost. Training "
            "looks out for small things; a larger --size or a tighter --crop would help more"
        )
    return Look(Picture(height, width, whole, chosen, source), kept, found, tuple(notes))


def _reduced(clip: Clip, factor: int) -> Clip:
    """A clip of large frames, so many times smaller: details under a pixel of the frames to be are of no interest."""
    if factor == 1:
        return clip
    height, width = (side // factor for side in clip.shape[1:3])
    return np.stack([resize(frame[: height * factor, : width * factor], height, width, "area") for frame in clip])


def _scaled(box: tuple[int, int, int, int], factor: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    top, left, bottom, right = (edge * factor for edge in box)
    return top, left, min(bottom + factor - 1, shape[0]), min(right + factor - 1, shape[1])


def _low(values: Sequence[float], default: Any) -> Any:
    """The value that three quarters of them reach."""
    return float(np.quantile(values, 0.25)) if values else default


def sizes() -> Iterator[tuple[int, int]]:
    """All `(height, width)` in pixels that make at most 40 tokens."""
    for rows in range(1, MOST_TOKENS + 1):
        for columns in range(1, MOST_TOKENS // rows + 1):
            yield SIZE_FACTOR * rows, SIZE_FACTOR * columns


def best_size(
    inner: tuple[int, int, int, int],
    changing: tuple[int, int, int, int] | None,
    size: tuple[int, int] | None = None,
    drawn: tuple[int, int, int, int] | None = None,
) -> tuple[int, int, tuple[int, int, int, int]]:
    """Height and width of the frames, and the box that they show.

    Args:
        inner: box `(top, left, bottom, right)` that may be shown.
        changing: box that must be shown; None if `inner` is to be shown as it is.
        size: `(height, width)`, if it is settled.
        drawn: box outside which there is nothing but plain ground; by default `changing`.

    Raises:
        GameError: if the size cannot be had.
    """
    if size is not None:
        check_size(size)
    rows, columns = inner[2] - inner[0], inner[3] - inner[1]
    best: tuple[float, int, int, tuple[int, int, int, int]] | None = None
    for height, width in [size] if size else sizes():
        boxes = [inner]
        scale = min(rows / height, columns / width)
        if changing is not None and scale >= 1:
            scale = math.floor(scale) if scale - math.floor(scale) < 0.1 else scale  # whole numbers resize without blur
            part = _place(inner, changing, round(height * scale), round(width * scale))
            boxes += [part] if part else []
        for box in boxes:
            down, across = (box[2] - box[0]) / height, (box[3] - box[1]) / width
            if size is None and min(down, across) < 1 and min(rows, columns) >= SIZE_FACTOR:
                continue  # frames are not made larger than they are
            blurred = 1.0 if down == int(down) and across == int(across) else 1 + BLUR / max(down, across)
            taken = DEAR if box != inner and _takes(box, drawn or changing, inner) else 1.0
            cost = max(down, across) * (max(down, across) / min(down, across)) * blurred * taken
            if best is None or cost < best[0]:
                best = (cost, height, width, box)
    assert best is not None, "the smallest size fits everything"
    return best[1:]


def _takes(box: tuple[int, int, int, int], drawn: tuple[int, int, int, int] | None, inner: tuple[int, int, int, int]) -> bool:
    """Whether a crop takes more of what is drawn than the edge that may go."""
    if drawn is None:
        return False
    lost = [max(box[0] - drawn[0], 0) + max(drawn[2] - box[2], 0), max(box[1] - drawn[1], 0) + max(drawn[3] - box[3], 0)]
    return any(lost[axis] > LOST * (inner[axis + 2] - inner[axis]) for axis in (0, 1))


def check_size(size: tuple[int, int]) -> None:
    """Raises `GameError` unless frames of `(height, width)` can be learned."""
    height, width = size
    if height < 1 or width < 1 or height % SIZE_FACTOR or width % SIZE_FACTOR:
        raise GameError(f"size was {width}x{height}; give sides that are multiples of {SIZE_FACTOR}, such as 80x96.")
    tokens = height * width // SIZE_FACTOR**2
    if tokens > MOST_TOKENS:
        raise GameError(f"size was {width}x{height}, {tokens} tokens; give at most {MOST_TOKENS}, such as 128x80 or 96x96.")


def changing_box(clips: Sequence[Clip]) -> tuple[int, int, int, int]:
    """Smallest box `(top, left, bottom, right)` that holds everything that changes, in a scene and from one start to the next;
    the whole frame if nothing does. A pair of frames of which more than half differs is a cut, unless all are.
    """
    height, width = clips[0].shape[1:3]
    changed, cuts = np.zeros((height, width), bool), np.zeros((height, width), bool)
    for before, after in itertools.chain(*map(itertools.pairwise, clips), itertools.pairwise([clip[0] for clip in clips])):
        differing = _differences(before, after) > CHANGED
        if differing.mean() > 0.5:
            cuts |= differing
        else:
            changed |= differing
    changed = changed if changed.any() else cuts
    if not changed.any():
        return 0, 0, height, width
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def drawn_box(clips: Sequence[Clip]) -> tuple[int, int, int, int]:
    """Smallest box `(top, left, bottom, right)` outside which rows and columns of every start repeat the next one inwards."""
    box = [0, 0, *clips[0].shape[1:3]]
    firsts = np.stack([clip[0] for clip in clips[:PICTURES]])
    for axis in (0, 1):
        ahead, behind = (np.take(firsts, range(at, box[axis + 2] - 1 + at), axis + 1).astype(np.int16) for at in (0, 1))
        differing = np.flatnonzero((np.abs(ahead - behind) > CHANGED).any(axis=(0, 2 - axis, 3)))
        if len(differing):
            box[axis], box[axis + 2] = int(differing[0]), int(differing[-1]) + 2
    return box[0], box[1], box[2], box[3]


@dataclass(frozen=True)
class Thing:
    """Something that moves in front of a still background.

    Attributes:
        frame, background: uint8 `(H, W, 3)`.
        pixels: rows and columns of its pixels.
        contrast: largest difference between the two there, in a colour.
    """

    frame: NDArray[np.uint8]
    background: NDArray[np.uint8]
    pixels: Pixels
    contrast: int

    @property
    def side(self) -> int:
        """Its shorter side in pixels."""
        return int(min(np.ptp(axis) for axis in self.pixels)) + 1

    def kept(self, height: int, width: int, how: Resize) -> float:
        """Share of its contrast that is left after resizing."""
        rows, columns = (
            axis * new // old for axis, new, old in zip(self.pixels, (height, width), self.frame.shape, strict=False)
        )
        left = _differences(*(resize(image, height, width, how) for image in (self.background, self.frame)))
        return float(left[rows, columns].max()) / self.contrast


def small_things(clips: Sequence[Clip], least: float) -> list[Thing]:
    """The smallest thing that moves in each of some frames.

    Args:
        clips: frames; there are none in those in which the whole view moves, as everything or its grain tells.
        least: pixels that a thing has, at least.
    """
    found = []
    step = max(1, sum(map(len, clips)) // PICTURES)
    background = np.median(np.concatenate([clip[::step] for clip in clips])[:PICTURES], axis=0).astype(np.uint8)
    for clip in clips:
        for before, after in zip(clip[:-1:step], clip[1::step], strict=False):
            apart, moved = _differences(background, after), _differences(before, after) > APART
            if not moved.any() or (apart > APART).mean() > 0.3:
                continue
            every = list(_groups(apart > APART))
            if len(every) > TEXTURED:
                continue
            groups = [group for group in every if len(group[0]) >= least and moved[group].any()]
            whole = [_whole(group, apart, after, int(LARGE * least)) for group in groups]
            if whole:
                smallest = min(whole, key=lambda group: len(group[0]))
                found.append(Thing(after, background, smallest, int(apart[smallest].max())))
    return found if len(found) >= 3 else []


def _whole(group: Pixels, apart: NDArray[np.uint8], frame: NDArray[np.uint8], most: int) -> Pixels:
    """The thing of one colour to which a group belongs, of which only an edge may have moved; about `most` pixels of it."""
    place = int(np.argmax(apart[group]))
    y, x = int(group[0][place]), int(group[1][place])
    alike = _differences(frame, frame[y, x]) <= APART
    return next(_groups(alike, (y, x), most))


def _differences(before: Clip, after: Clip) -> NDArray[np.uint8]:
    """Largest difference in a colour, `(H, W)`."""
    differences = np.where(before > after, before - after, after - before)
    return np.maximum(np.maximum(differences[..., 0], differences[..., 1]), differences[..., 2])


def _groups(mask: NDArray[np.bool_], first: tuple[int, int] | None = None, most: float = math.inf) -> Iterator[Pixels]:
    """Rows and columns of every group of neighbouring pixels in a mask, that of the pixel `first` before the others; groups of
    more than `most` pixels are split.
    """
    left = set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))
    while left:
        group: list[tuple[int, int]] = []
        edge = [first if first is not None and first in left else left.pop()]
        left.discard(edge[0])
        while edge and len(group) < most:
            y, x = edge.pop()
            group.append((y, x))
            near = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (y + dy, x + dx) in left]
            left.difference_update(near)
            edge += near
        rows, columns = zip(*group, strict=True)
        yield np.array(rows), np.array(columns)


def _place(
    inner: tuple[int, int, int, int], changing: tuple[int, int, int, int], rows: int, columns: int
) -> tuple[int, int, int, int] | None:
    """A box of that size inside `inner` and around `changing`; None if there is none, or it cuts too much."""
    box = []
    for axis, length in enumerate((rows, columns)):
        low, high = inner[axis], inner[axis + 2]
        first, last = max(changing[axis], low), min(changing[axis + 2], high)
        lost = (last - first) - length  # of what changes; a row of a score may go
        if length > high - low or lost > LOST * (high - low) or (high - low) - length > LARGEST_CUT * (high - low):
            return None
        start = min(max(first + lost // 2, low), high - length)
        box.append((start, start + length))
    return box[0][0], box[1][0], box[0][1], box[1][1]
