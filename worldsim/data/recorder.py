"""Writes episodes, so that a crash loses at most the one being recorded."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data.folder import PARTIAL, check_recordable, clean, remove_partial
from worldsim.data.format import (
    INFO_PATH,
    VIDEO_KEY,
    DatasetInfo,
    EpisodeInfo,
    Rows,
    check_labels,
    data_path,
    episode_files,
    episode_path,
    video_path,
)
from worldsim.data.stats import Stats, Summary, combine_all
from worldsim.data.tables import (
    TASKS_PATH,
    hash_episode,
    read_episode_and_stats,
    read_rows,
    row_stats,
    write_episode,
    write_rows,
    write_tasks,
)
from worldsim.data.video import summarise_video
from worldsim.data.writer import EpisodeWriter, Take
from worldsim.errors import DataError, FileError
from worldsim.files import lock, publish, write_json
from worldsim.provenance import Claim

STATS_PATH = "meta/stats.json"


class Recorder:
    """Adds episodes to a dataset, made if it is not there yet.

    >>> with Recorder(root, info) as recorder:
    ...     recorder.begin(seed=1, policy="human")
    ...     recorder.append(frame, vector, reward, terminated, truncated)
    ...     recorder.end()

    Args:
        root: folder of the dataset: new, empty, or a dataset of the same kind.
        info: what all its episodes share.

    Attributes:
        episodes: finished episodes by index.

    Raises:
        DataError: if `root` holds anything but a dataset of the same kind.
        FileError: if another process is recording into it, or it cannot be written; the same in every method.
    """

    def __init__(self, root: str | Path, info: DatasetInfo) -> None:
        self.root, self.info = Path(root), info
        self.partial = self.root / PARTIAL
        self._closed = False
        self._writer: EpisodeWriter | None = None
        self._labels: dict[str, Any] = {}
        self.episodes: dict[int, EpisodeInfo] = {}
        self._stats: dict[int, Stats] = {}
        with ExitStack() as undo:
            check_recordable(self.root, info)
            self._lock = undo.enter_context(lock(self.root, "recording into"))
            check_recordable(self.root, info)  # once more, now that nobody else can change it
            if not (self.root / INFO_PATH).exists():
                write_json(self.root / INFO_PATH, info.to_json())
            if not (self.root / TASKS_PATH).exists():
                write_tasks(self.root, info)
            clean(self.root)
            for index, path in episode_files(self.root).items():
                self.episodes[index], self._stats[index] = read_episode_and_stats(path)
            undo.pop_all()

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

    def begin(
        self, *, seed: int | None = None, policy: str = "human", split: str = "train", begun_at: int = 0, **labels: Any
    ) -> None:
        """Starts an episode.

        Args:
            seed: seed of the game or world, 0 to 2**64 - 1.
            policy: name of what chooses the controls.
            split: "train" or "eval".
            begun_at: frames since the reset with `seed`; more than 0 if the recording begins in mid-episode.
            labels: for dreamed episodes `world_hash`, `sampler` and `start`, for captured ones `capture`; see
                `EpisodeInfo`.

        Raises:
            DataError: if a label cannot be stored, or an episode is being recorded.
        """
        if self._writer is not None:
            raise DataError("an episode is being recorded already; call end() or discard() first.")
        self._labels = check_labels(seed=seed, policy=policy, split=split, begun_at=begun_at, **labels)
        path = self.partial / f"episode-{self.next_index}.mp4"
        self._writer = EpisodeWriter(path, self.info, Claim.of_labels(self._labels))

    def append(
        self,
        frame: NDArray[np.uint8],
        vector: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        state: NDArray[Any] | None = None,
    ) -> None:
        """Adds one row to the episode; see `EpisodeWriter.append`. Where the disk is full, the episode is dropped."""
        try:
            self._current().append(frame, vector, reward, terminated, truncated, state)
        except FileError:
            self.discard()
            raise

    def end(self) -> EpisodeInfo | None:
        """Finishes the episode; one without rows is dropped and None returned."""
        writer, self._writer = self._current(), None
        take = writer.close()
        return None if take is None else self.commit(take, **self._labels)

    def discard(self) -> None:
        """Drops the episode being recorded."""
        self._current().discard()
        self._writer = None

    def commit(self, take: Take, **labels: Any) -> EpisodeInfo:
        """Takes a recorded episode into the dataset as its next one.

        Args:
            take: from `EpisodeWriter.close`, its video on the same file system as the dataset.
            labels: as for `begin`.

        Raises:
            FileError: if it cannot be written; nothing of it is left then.
        """
        labels, index = check_labels(**labels), self.next_index
        before = self.episodes.get(index - 1)
        first_row = before.first_row + before.length if before else 0
        hashes: dict[str, Any] = {"content_hash": hash_episode(take.video, take.rows), "frames_hash": take.frames_hash}
        episode = EpisodeInfo(index, len(take.rows), first_row, self.info.game, **labels, **hashes)
        try:
            publish(take.video, video_path(self.root, index))
            self._write_tables(take.rows, episode, take.pictures)
        except FileError:
            for path in (take.video, *(at(self.root, index) for at in (video_path, data_path))):
                path.unlink(missing_ok=True)
            raise
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
            remove_partial(self.root)
            self._complete()
            self._renumber()
            write_json(self.root / INFO_PATH, self.info.to_json(self.episodes.values()))
            write_json(self.root / STATS_PATH, combine_all(stats for _, stats in sorted(self._stats.items())))
        finally:
            self._lock.release()

    def _complete(self) -> None:
        """Adds statistics and content hash to episodes that are older than these; damaged ones stay as they are."""
        for index, episode in self.episodes.items():
            if VIDEO_KEY in self._stats[index] and episode.content_hash:
                continue
            with suppress(DataError):
                rows, video = read_rows(data_path(self.root, index), self.info), video_path(self.root, index)
                self.episodes[index] = episode = replace(episode, content_hash=hash_episode(video, rows))
                self._write_tables(rows, episode, summarise_video(video, self.info.fps, episode.length))

    def _renumber(self) -> None:
        """Row numbers run on through the dataset, also after an episode was replaced by one of another length."""
        row = 0
        for index, episode in sorted(self.episodes.items()):
            if episode.first_row != row:
                self.episodes[index] = episode = replace(episode, first_row=row)
                rows = read_rows(data_path(self.root, index), self.info)
                self._write_tables(rows, episode, self._stats[index].get(VIDEO_KEY))
            row += episode.length

    def _write_tables(self, rows: Rows, episode: EpisodeInfo, pictures: Summary | None) -> None:
        stats = row_stats(rows, episode, self.info) | ({VIDEO_KEY: pictures} if pictures else {})
        write_rows(data_path(self.root, episode.index), rows, episode, self.info)
        write_episode(episode_path(self.root, episode.index), episode, self.info, stats)  # last: from here on it exists
        self._stats[episode.index] = stats

    def _current(self) -> EpisodeWriter:
        if self._writer is None:
            raise DataError("no episode is being recorded; call begin() first.")
        return self._writer


def next_split(episodes: Iterable[EpisodeInfo], eval_share: float) -> str:
    """Split of the next episode: "eval" while less than `eval_share` of the frames before it is held out.

    The first episode is for training, the second is held out, and from then on the share is kept.
    """
    frames = {"train": 0, "eval": 0}
    for episode in episodes:
        frames[episode.split] += episode.length
    total = sum(frames.values())
    return "eval" if total and frames["eval"] < eval_share * total else "train"
