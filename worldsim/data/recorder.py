"""Writes episodes, so that a crash loses at most the one being recorded."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data.format import (
    INFO_PATH,
    SPLITS,
    DatasetInfo,
    EpisodeInfo,
    Rows,
    data_path,
    episode_files,
    episode_path,
    orphans,
    read_info,
    video_path,
)
from worldsim.data.tables import read_episode, read_rows, write_episode, write_rows, write_tasks
from worldsim.data.video import VideoWriter
from worldsim.errors import DataError
from worldsim.files import publish, remove_temporary, write_json

PARTIAL = ".partial"  # folder of episodes being recorded


@dataclass(frozen=True)
class Take:
    """A recorded episode that is not yet part of a dataset: its finished video file and its rows."""

    video: Path
    rows: Rows


class EpisodeWriter:
    """Records one episode into `path`, outside any dataset; `Recorder.commit` takes it in.

    Args:
        path: video file to write.
        info: what the episode must look like.
    """

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self._path, self._info = path, info
        path.parent.mkdir(parents=True, exist_ok=True)
        self._video = VideoWriter(path, info.height, info.width, info.fps, info.lossless)
        self._rows: list[tuple[NDArray[np.float32], float, bool, bool, NDArray[np.float32]]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def append(
        self,
        frame: NDArray[np.uint8],
        vector: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        state: NDArray[Any] | None = None,
    ) -> None:
        """Adds a frame, the action taken at it, and the reward and end that this action produced.

        Args:
            frame: uint8 RGB `(H, W, 3)`.
            vector: `(A,)`, in the order of the control spec's vector.
            reward: of the step from this frame to the next.
            terminated: whether that step ended the game.
            truncated: whether that step hit a limit from outside the game.
            state: `(S,)`, the game's own state at this frame, where the dataset records one.

        Raises:
            DataError: if the frame or state does not fit the dataset, or the episode is over.
            ControlError: if the vector does not fit the control spec.
        """
        if self._rows and (self._rows[-1][2] or self._rows[-1][3]):
            raise DataError("this episode is over (its last step terminated or truncated it); call end() and begin() first.")
        if frame.shape != self._info.frame_shape or frame.dtype != np.uint8:
            raise DataError(f"frame is {frame.dtype} {frame.shape}; this dataset takes uint8 {self._info.frame_shape}.")
        values = np.array([] if state is None else state, np.float32)
        if values.shape != (len(self._info.state),):
            raise DataError(f"state has shape {values.shape}; this dataset takes ({len(self._info.state)},): {self._info.state}.")
        action = _quantise(self._info.control_spec, vector)
        self._video.append(frame)
        self._rows.append((action, float(reward), bool(terminated), bool(truncated), values))

    def close(self) -> Take:
        """Completes the video; the episode needs at least one row."""
        assert self._rows
        self._video.close()
        actions, rewards, terminated, truncated, states = zip(*self._rows, strict=True)
        rows = Rows(
            actions=np.stack(actions),
            rewards=np.array(rewards, np.float32),
            terminated=np.array(terminated, np.bool_),
            truncated=np.array(truncated, np.bool_),
            states=np.stack(states),
        )
        return Take(self._path, rows)

    def discard(self) -> None:
        """Drops the episode."""
        self._video.close()
        self._path.unlink(missing_ok=True)


class Recorder:
    """Adds episodes to a dataset, made if it is not there yet.

    >>> with Recorder(root, info) as recorder:
    ...     recorder.begin(seed=1, policy="human")
    ...     recorder.append(frame, vector, reward, terminated, truncated)
    ...     recorder.end()

    Args:
        root: folder of the dataset.
        info: what all its episodes share.

    Attributes:
        episodes: finished episodes by index.

    Raises:
        DataError: if the dataset at `root` is of another kind, or another process is recording into it.
    """

    def __init__(self, root: str | Path, info: DatasetInfo) -> None:
        self.root, self.info = Path(root), info
        exists = (self.root / INFO_PATH).exists()
        if exists:
            _check_same(self.root, read_info(self.root), info)
        self.partial = self.root / PARTIAL
        self._lock = _lock(self.root)
        self._closed = False
        _clean(self.root)
        if not exists:
            write_json(self.root / INFO_PATH, info.to_json())
            write_tasks(self.root, info)
        self.episodes = {index: read_episode(path) for index, path in episode_files(self.root).items()}
        self._writer: EpisodeWriter | None = None
        self._labels: dict[str, Any] = {}

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def next_index(self) -> int:
        """Index of the next episode: the first that is missing."""
        return next(index for index in range(len(self.episodes) + 1) if index not in self.episodes)

    @property
    def has_gap(self) -> bool:
        """Whether an episode before the last one is missing, because somebody deleted it."""
        return self.next_index < len(self.episodes)

    def begin(self, *, seed: int | None = None, policy: str = "human", split: str = "train", **labels: str | None) -> None:
        """Starts an episode.

        Args:
            seed: seed of the game or world.
            policy: name of what chooses the controls.
            split: "train" or "eval".
            labels: for dreamed episodes, `world_hash`, `sampler` and `start` (see `EpisodeInfo`).
        """
        if self._writer is not None:
            raise DataError("an episode is being recorded already; call end() or discard() first.")
        self._labels = check_labels(seed=seed, policy=policy, split=split, **labels)
        self._writer = EpisodeWriter(self.partial / f"episode-{self.next_index}.mp4", self.info)

    def append(
        self,
        frame: NDArray[np.uint8],
        vector: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        state: NDArray[Any] | None = None,
    ) -> None:
        """Adds one row to the episode; see `EpisodeWriter.append`."""
        self._current().append(frame, vector, reward, terminated, truncated, state)

    def end(self) -> EpisodeInfo | None:
        """Finishes the episode; one without rows is dropped and None returned."""
        writer = self._current()
        if len(writer) == 0:
            self.discard()
            return None
        self._writer = None
        return self.commit(writer.close(), **self._labels)

    def discard(self) -> None:
        """Drops the episode being recorded."""
        self._current().discard()
        self._writer = None

    def commit(self, take: Take, **labels: Any) -> EpisodeInfo:
        """Takes a recorded episode into the dataset as its next one.

        Args:
            take: from `EpisodeWriter.close`, its video on the same file system as the dataset.
            labels: as for `begin`.
        """
        index = self.next_index
        before = self.episodes.get(index - 1)
        first_row = before.first_row + before.length if before else 0
        episode = EpisodeInfo(index, len(take.rows), first_row, self.info.game, **check_labels(**labels))
        publish(take.video, video_path(self.root, index))
        self._write_tables(take.rows, episode)
        self.episodes[index] = episode
        return episode

    def close(self) -> None:
        """Drops an unfinished episode and brings the totals in `info.json` up to date; closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._writer is not None:
                self.discard()
            self._renumber()
            write_json(self.root / INFO_PATH, self.info.to_json(self.episodes.values()))
            shutil.rmtree(self.partial, ignore_errors=True)
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def _renumber(self) -> None:
        """Row numbers run on through the dataset, also after an episode was replaced by one of another length."""
        row = 0
        for index, episode in sorted(self.episodes.items()):
            if episode.first_row != row:
                self.episodes[index] = episode = replace(episode, first_row=row)
                self._write_tables(read_rows(data_path(self.root, index), self.info), episode)
            row += episode.length

    def _write_tables(self, rows: Rows, episode: EpisodeInfo) -> None:
        write_rows(data_path(self.root, episode.index), rows, episode, self.info)
        write_episode(episode_path(self.root, episode.index), episode, self.info)  # last: from here on the episode exists

    def _current(self) -> EpisodeWriter:
        if self._writer is None:
            raise DataError("no episode is being recorded; call begin() first.")
        return self._writer


def check_labels(**labels: Any) -> dict[str, Any]:
    """The labels of an episode, checked.

    Raises:
        DataError: for an unknown label or split.
    """
    allowed = ("seed", "policy", "split", "world_hash", "sampler", "start")
    unknown = [name for name in labels if name not in allowed]
    if unknown:
        raise DataError(f"unknown label {unknown[0]!r}; an episode takes: {', '.join(allowed)}.")
    if labels.get("split", "train") not in SPLITS:
        raise DataError(f"split was {labels['split']!r}; give one of: {', '.join(SPLITS)}.")
    return labels


def _quantise(spec: ControlSpec, vector: NDArray[Any]) -> NDArray[np.float32]:
    """The vector as the game understands it: keys and buttons exactly 0 or 1, mouse within its limit."""
    keys, mouse, buttons = spec.split(spec.check_vector(vector))
    return np.concatenate([keys >= 0.5, mouse, buttons >= 0.5]).astype(np.float32)


def _check_same(root: Path, old: DatasetInfo, new: DatasetInfo) -> None:
    names = [name for name in new.__dataclass_fields__ if getattr(old, name) != getattr(new, name)]
    if names:
        differences = "; ".join(f"{name} {getattr(old, name)} there, {getattr(new, name)} now" for name in names)
        raise DataError(f"the dataset at {root} differs: {differences}. Record into another folder, or use the same settings.")


def _clean(root: Path) -> None:
    """Removes what a crash left behind."""
    shutil.rmtree(root / PARTIAL, ignore_errors=True)
    for path in orphans(root):
        path.unlink()
    for folder in (root / "meta", *root.glob("data/chunk-*"), *root.glob("meta/episodes/chunk-*")):
        remove_temporary(folder)


def _lock(root: Path) -> int | None:
    """Holds the dataset for writing; the system lets go of it when the process dies. None where there are no locks."""
    root.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        return None
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise DataError(f"another process is recording into {root}; wait for it, or record into another folder.") from error
    return folder
