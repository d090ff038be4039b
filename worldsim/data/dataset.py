"""Reads recorded episodes: whole ones, ranges of frames, or clips whose entries belong to their frames."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.controls import ControlSpec
from worldsim.data.clips import Clips, align
from worldsim.data.folder import find_dataset
from worldsim.data.format import (
    DatasetInfo,
    EpisodeInfo,
    Rows,
    damaged,
    data_path,
    episode_files,
    read_info,
    video_path,
)
from worldsim.data.remote import Mirror
from worldsim.data.tables import hash_episode, read_episode, read_rows
from worldsim.data.video import read_frames, video_shape
from worldsim.errors import DataError
from worldsim.hub import check_inside


@dataclass(frozen=True)
class Episode:
    """One episode of L rows.

    Attributes:
        info: its metadata.
        frames: uint8 RGB `(L, H, W, 3)`.
        actions: float32 `(L, A)`; `actions[t]` was taken at `frames[t]` and leads to `frames[t + 1]`.
        rewards: float32 `(L,)`, produced by `actions[t]`.
        terminated: bool `(L,)`, produced by `actions[t]`.
        truncated: bool `(L,)`, produced by `actions[t]`.
        states: float32 `(L, S)`, the game's own state at `frames[t]`; S is 0 where none was recorded.
    """

    info: EpisodeInfo
    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    states: NDArray[np.float32]


class Dataset:
    """A recorded dataset, or one split of it. `len()` counts episodes.

    Args:
        root: folder of the dataset, a URL that fsspec reads, such as "s3://bucket/name", or its name on the Hugging Face Hub,
            "user/name".
        split: "train", "eval", or None for all episodes.

    Attributes:
        info: what all episodes share.
        episodes: metadata of the episodes in order.

    Raises:
        DataError: if there is no dataset, no episode in the split, or a file is damaged.
    """

    def __init__(self, root: str | Path, split: str | None = None) -> None:
        self.root = find_dataset(root)
        self._checked: set[int] = set()
        self._mirror = Mirror.of(self.root)
        self.info: DatasetInfo = read_info(self.root)
        everything = [read_episode(self._own(path)) for _, path in sorted(episode_files(self.root).items())]
        self.episodes = [episode for episode in everything if split in (None, episode.split)]
        if not self.episodes:
            splits = sorted({episode.split for episode in everything})
            found = f"only {', '.join(splits)}" if splits else "no finished episode"
            raise DataError(f"{self.root} has no episode of split {split or 'any'} ({found}); record some with worldsim collect.")

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def spec(self) -> ControlSpec:
        return self.info.control_spec

    @property
    def fps(self) -> float:
        return self.info.fps

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """`(H, W, 3)`."""
        return self.info.frame_shape

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each episode, `(episodes,)`."""
        return np.array([episode.length for episode in self.episodes], np.int64)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each episode begins in `rows`, and at the end their number, `(episodes + 1,)`."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def total_frames(self) -> int:
        return int(self.lengths.sum())

    @cached_property
    def fingerprint(self) -> str:
        """Names its episodes and their content: any added, removed or changed one changes it.

        It trusts the hashes taken when recording, and looks only at the size of the videos; see `worldsim.data.check`.
        """
        sizes = [self._size(video_path(self.root, e.index)) for e in self.episodes]
        contents = [self.content_hash(i) for i in range(len(self))]
        named = [(e.index, e.seed, e.length, *more) for e, *more in zip(self.episodes, contents, sizes, strict=True)]
        return hashlib.sha256(json.dumps([self.info.game, named]).encode()).hexdigest()[:16]

    def content_hash(self, i: int) -> str:
        """SHA-256 of the frames and rows of episode `i` as recorded; computed now where the recording holds none.

        Raises:
            DataError: if it is computed and a file is missing or damaged.
        """
        episode = self.episodes[i]
        return episode.content_hash or hash_episode(self._own(video_path(self.root, episode.index)), self._read_rows(episode))

    @cached_property
    def rows(self) -> Rows:
        """The numbers of all frames, episode after episode (everything but the pictures, kept in memory)."""
        return Rows.join([self._read_rows(episode) for episode in self.episodes])

    def episode(self, i: int) -> Episode:
        """All of episode `i` (position in `episodes`)."""
        rows = self.episode_rows(i)
        return Episode(
            self.episodes[i],
            self.frames(i),
            rows.actions,
            rows.rewards,
            rows.terminated,
            rows.truncated,
            rows.states,
        )

    def frames(self, i: int, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Frames `start` to `stop` (exclusive) of episode `i`, uint8 `(stop - start, H, W, 3)`; decodes little else.

        Raises:
            DataError: if the range is not within the episode, or the video is damaged.
        """
        length = self.episodes[i].length
        stop = length if stop is None else stop
        if not 0 <= start <= stop <= length:
            raise DataError(f"frames {start} to {stop} of episode {i}; it has {length}: give 0 <= start <= stop <= {length}.")
        self._check_video(i)
        out = np.empty((stop - start, *self.frame_shape), np.uint8)
        self._decode(i, start, out)
        return out

    def clips(self, episodes: ArrayLike, starts: ArrayLike, length: int, *, frames: bool = True) -> Clips:
        """Clips in which every action, reward and end stands at the frame that it produced.

        Args:
            episodes: `(B,)`, position of each clip's episode in `episodes`.
            starts: `(B,)`, frame of the episode with which each clip begins. A clip may run past the episode's end.
            length: entries per clip, T.
            frames: decode the frames too; False for whoever has them as latents.

        Raises:
            DataError: if a clip begins outside its episode, or a video is damaged.
        """
        chosen, first = np.atleast_1d(np.asarray(episodes, np.int64)), np.atleast_1d(np.asarray(starts, np.int64))
        if chosen.shape != first.shape or chosen.ndim != 1 or length < 1:
            raise DataError(
                f"episodes has shape {chosen.shape}, starts {first.shape}, length was {length}; give as many starts as "
                "episodes, and a length of at least 1."
            )
        outside = (chosen < 0) | (chosen >= len(self))
        if outside.any():
            raise DataError(f"episode was {chosen[outside][0]}; this dataset has {len(self)}: give 0 to {len(self) - 1}.")
        outside = (first < 0) | (first >= self.lengths[chosen])
        if outside.any():
            i, start = chosen[outside][0], first[outside][0]
            raise DataError(f"start was {start}; episode {i} has {self.lengths[i]} frames: give 0 to {self.lengths[i] - 1}.")
        clips = align(self.rows, self.offsets, chosen, first, length)
        if not frames:
            return clips
        for i in set(chosen.tolist()):
            self._check_video(i)
        pictures = np.zeros((len(chosen), length, *self.frame_shape), np.uint8)
        for i, start, real, out in zip(chosen, first, clips.real, pictures, strict=True):
            self._decode(int(i), int(start), out[: real.sum()])
        return replace(clips, frames=pictures)

    def _check_video(self, i: int) -> None:
        """Raises `DataError` unless the video of episode `i` is as its metadata says; looked at once, before room is made."""
        if i in self._checked:
            return
        path = self._own(video_path(self.root, self.episodes[i].index))
        (frames, *size), length = video_shape(path), self.episodes[i].length
        if frames != length or frames > path.stat().st_size:  # a frame takes several bytes
            raise damaged(path, f"it has {frames} frames, its rows are {length}")
        if size != list(self.frame_shape[:2]):
            raise damaged(path, f"frames of shape {(*size, 3)} in a dataset of {self.frame_shape}")
        self._checked.add(i)

    def _own(self, path: Path) -> Path:
        """`path`, unless it is a link that leads out of the dataset. Of a dataset elsewhere it is fetched first."""
        if self._mirror is not None:
            self._mirror.fetch(path)
        check_inside(path, self.root, DataError)
        return path

    def _size(self, path: Path) -> int:
        if self._mirror is not None:
            return self._mirror.size(path)
        return os.path.getsize(path) if path.exists() else 0

    def _decode(self, i: int, start: int, out: NDArray[np.uint8]) -> None:
        """Fills `out` `(T, H, W, 3)` with the frames of episode `i` from `start` on."""
        path = video_path(self.root, self.episodes[i].index)
        for t, frame in enumerate(read_frames(path, self.fps, start, start + len(out), self.episodes[i].length)):
            if frame.shape != self.frame_shape:
                raise damaged(path, f"frames of shape {frame.shape} in a dataset of {self.frame_shape}")
            out[t] = frame

    def episode_rows(self, i: int) -> Rows:
        """The numbers of episode `i`.

        Raises:
            DataError: if their file is missing or damaged.
        """
        return self._read_rows(self.episodes[i])

    def _read_rows(self, episode: EpisodeInfo) -> Rows:
        path = self._own(data_path(self.root, episode.index))
        rows = read_rows(path, self.info)
        if len(rows) != episode.length:
            raise damaged(path, f"{len(rows)} rows instead of {episode.length}")
        return rows
