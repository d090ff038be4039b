"""What the studio can be asked for: each task says which frames are given, and the noise matrix does the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import StudioError, check_int, check_number

Frames = NDArray[np.uint8]  # (T, H, W, 3)


@dataclass(frozen=True)
class Canvas:
    """A clip of which some frames are given.

    Attributes:
        frames: uint8 `(T, H, W, 3)`; black where nothing is known.
        given: bool `(T,)`, frames that stay as they are.
        strength: noise level in (0, 1] from which the other frames are made: 1 forgets what they showed, less keeps its
            structure.
    """

    frames: Frames
    given: NDArray[np.bool_]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if check_number("strength", self.strength, 0, 1, error=StudioError) == 0:
            raise StudioError("strength was 0, which changes nothing; give a number above 0, such as 0.6.")


def blank(frames: int, size: tuple[int, int]) -> Canvas:
    """A clip, or with one frame a picture, of which nothing is given.

    Args:
        frames: how many.
        size: `(W, H)` in pixels.
    """
    width, height = size
    return _canvas(np.zeros((0, height, width, 3), np.uint8), check_int("frames", frames, 1, error=StudioError), 0)


def animate(picture: Frames, frames: int) -> Canvas:
    """A clip of so many frames that begins with a picture, `(H, W, 3)`."""
    return extend(picture[None], after=check_int("frames", frames, 2, error=StudioError) - 1)


def extend(clip: Frames, *, after: int = 0, before: int = 0) -> Canvas:
    """What came before a clip, and what comes after it."""
    for name, value in {"after": after, "before": before}.items():
        check_int(name, value, 0, error=StudioError)
    if not after + before:
        raise StudioError("after and before were 0; give how many frames to add, such as after=32.")
    return _canvas(clip, before + len(clip) + after, before)


def connect(first: Frames, second: Frames, frames: int) -> Canvas:
    """Two clips of one size, and so many frames that lead from one to the other."""
    if first.shape[1:] != second.shape[1:]:
        raise StudioError(f"the clips have frames of {first.shape[1:]} and {second.shape[1:]}; give two of one size.")
    check_int("frames", frames, 1, error=StudioError)
    whole = _canvas(first, len(first) + frames + len(second), 0)
    whole.frames[len(first) + frames :], whole.given[len(first) + frames :] = second, True
    return whole


def loop(clip: Frames, frames: int) -> Canvas:
    """A clip, and so many frames that lead from its end back to its beginning; `closed` takes the repeated beginning off."""
    return connect(clip, clip[: max(1, len(clip) // 2)], frames)


def closed(made: NDArray[Any], clip: int, frames: int) -> NDArray[Any]:
    """The frames of a loop of a clip of so many frames, or what there is for each of them, once."""
    return made[: clip + frames]


def edit(clip: Frames, strength: float) -> Canvas:
    """A clip made anew from a noised copy of itself (SDEdit, Meng et al. 2022, arXiv:2108.01073)."""
    return Canvas(clip.copy(), np.zeros(len(clip), bool), strength)


def _canvas(clip: Frames, frames: int, first: int) -> Canvas:
    """So many frames, of which a clip is given from frame `first` on."""
    whole, given = np.zeros((frames, *clip.shape[1:]), np.uint8), np.zeros(frames, bool)
    whole[first : first + len(clip)], given[first : first + len(clip)] = clip, True
    return Canvas(whole, given)


def windows(given: NDArray[np.bool_], window: int, overlap: int) -> list[tuple[int, int]]:
    """The order in which a clip longer than the model's window is made: from what is known outward.

    Args:
        given: bool `(T,)`, frames that are known at first.
        window: frames at a time.
        overlap: frames made before that each window sees, at least.

    Returns:
        Begin and end of each window; after the last one all frames are known.
    """
    frames, known, order = len(given), given.copy(), []
    while not known.all():
        unknown, seen = int(np.flatnonzero(~known)[0]), np.flatnonzero(known)
        later = seen[seen > unknown]
        gap = int(later[0]) - unknown if len(later) else frames
        if len(seen) and unknown < seen[0]:  # backward from the first frame that is known
            begin = int(seen[0]) + overlap - window
        elif gap + 2 <= window:  # with as much as possible of both sides
            begin = unknown - (window - gap) // 2
        else:
            begin = unknown - overlap
        begin = max(0, min(begin, frames - window))
        stop = min(frames, begin + window)
        order.append((begin, stop))
        known[begin:stop] = True
    return order
