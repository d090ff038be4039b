"""Clips of episodes: the one place where actions are shifted onto the frames that they produced.

Row t of a recording holds frame t, the action taken there, and the reward and end that this action led to. The action
produced frame t + 1. In a clip, entry t of everything belongs to frame t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.data.format import Rows


@dataclass(frozen=True)
class Clips:
    """A batch of B clips of T entries; a clip may run past the end of its episode, but not before its beginning.

    Attributes:
        rows: int64 `(B, T)`, index of each frame among all frames of the dataset, one episode after the other. Past
            the end of an episode it is that of its last frame.
        controls: float32 `(B, T, A)` that produced the entry, in the units of the control spec; 0 where not `known`.
        rewards: float32 `(B, T)` of the step that produced the entry; 0 where not `known`.
        ends: bool `(B, T)`, whether the episode terminated in place of this frame.
        real: bool `(B, T)`, whether the frame exists.
        known: bool `(B, T)`, whether a recorded action produced the entry, be it a frame or an end. False for an
            episode's first frame and for what would come after its end.
        frames: uint8 RGB `(B, T, H, W, 3)`, black where not `real`; `(B, T, 0, 0, 3)` where they were not
            asked for.
    """

    rows: NDArray[np.int64]
    controls: NDArray[np.float32]
    rewards: NDArray[np.float32]
    ends: NDArray[np.bool_]
    real: NDArray[np.bool_]
    known: NDArray[np.bool_]
    frames: NDArray[np.uint8]


def align(rows: Rows, offsets: NDArray[np.int64], episodes: NDArray[np.int64], starts: NDArray[np.int64], length: int) -> Clips:
    """Cuts clips without frames out of recorded rows.

    Args:
        rows: of all episodes, one after the other.
        offsets: `(episodes + 1,)`, where each episode begins in `rows`, and at the end their number.
        episodes: `(B,)`, position of each clip's episode.
        starts: `(B,)`, frame of the episode with which each clip begins, at least 0.
        length: entries per clip, T.
    """
    time = np.asarray(starts)[:, None] + np.arange(length)  # (B, T), counted from the episode's first frame
    begin, stop = offsets[:-1][episodes][:, None], offsets[1:][episodes][:, None]
    real = time < stop - begin
    ends = (time == stop - begin) & rows.terminated[stop - 1]
    known = (time > 0) & (real | ends)
    produced = np.where(known, begin + time - 1, 0)  # the row whose action produced the entry
    return Clips(
        rows=np.minimum(begin + time, stop - 1),
        controls=np.where(known[..., None], rows.actions[produced], np.float32(0)),
        rewards=np.where(known, rows.rewards[produced], np.float32(0)),
        ends=ends,
        real=real,
        known=known,
        frames=np.zeros((*time.shape, 0, 0, 3), np.uint8),
    )
