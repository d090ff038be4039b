"""Joins recordings into one dataset, and decides which of their episodes are held out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from worldsim.data.config import MergeConfig
from worldsim.data.dataset import Dataset
from worldsim.data.folder import PARTIAL, check_recordable
from worldsim.data.format import LABELS, VIDEO_KEY, EpisodeInfo, episode_path, video_path
from worldsim.data.recorder import Recorder
from worldsim.data.tables import hash_episode, read_episode_and_stats
from worldsim.data.video import summarise_video
from worldsim.data.writer import Take
from worldsim.errors import DataError
from worldsim.files import named_errors


@dataclass(frozen=True)
class _Piece:
    """An episode to take over: its dataset, its position there, and the hash of its content."""

    dataset: Dataset
    position: int
    content: str

    @property
    def episode(self) -> EpisodeInfo:
        return self.dataset.episodes[self.position]


def merge(
    sources: Sequence[str | Path], out: str | Path, *, eval_share: float | None = None, progress: bool = True
) -> dict[str, Any]:
    """Copies the episodes of recordings of the same kind into one dataset. The sources stay as they are.

    An episode that `out` holds already, or that is in several sources, is taken once; so the same call again goes on where
    an interrupted one stopped, and a call with one more source adds that one.

    Args:
        sources, out, eval_share: as in `MergeConfig`.
        progress: show a progress bar.

    Returns:
        `episodes` and `frames` by split, and how many episodes were `added` and `skipped`.

    Raises:
        DataError: if a source is missing, damaged or of another kind, `eval_share` is out of range, or there are too few
            episodes to hold one out.
        FileError: if `out` cannot be written.
    """
    config = MergeConfig(tuple(map(Path, sources)), Path(out), eval_share)
    datasets = [Dataset(source) for source in config.sources]
    for dataset in datasets[1:]:
        check_recordable(dataset.root, datasets[0].info)
    check_recordable(out, datasets[0].info)
    pieces: dict[str, _Piece] = {}
    for dataset in datasets:
        if dataset.root.resolve() == Path(out).resolve():
            raise DataError(f"{dataset.root} is a source and the result; give another folder for the result.")
        for i in range(len(dataset)):
            pieces.setdefault(content := dataset.content_hash(i), _Piece(dataset, i, content))
    with Recorder(out, datasets[0].info) as recorder:
        there = {episode.content_hash for episode in recorder.episodes.values()}
        held_out = None if eval_share is None else _hold_out(list(pieces.values()), recorder, eval_share)
        new = [piece for piece in pieces.values() if piece.content not in there]
        for piece in tqdm(new, desc="merging", unit="episode", disable=not progress):
            split = piece.episode.split if held_out is None else "eval" if piece.content in held_out else "train"
            _take_over(piece, recorder, split)
        return _figures(recorder, len(new), sum(map(len, datasets)) - len(new))


def _hold_out(pieces: Sequence[_Piece], recorder: Recorder, share: float) -> set[str]:
    """Hashes of the episodes to hold out: in the order of their hashes, which is random, until there are enough frames."""
    there = {episode.content_hash: episode for episode in recorder.episodes.values()}
    lengths = {piece.content: piece.episode.length for piece in pieces} | {
        content: episode.length for content, episode in there.items() if content is not None
    }
    if len(lengths) < 2:
        raise DataError("there is only one episode; record at least two, so that one can be held out.")
    wanted = share * sum(lengths.values())
    frames = sum(episode.length for episode in there.values() if episode.split == "eval")
    chosen: set[str] = set()
    for content in sorted(lengths.keys() - there.keys()):
        if frames >= wanted or len(chosen) + 1 == len(lengths):  # one stays for training
            break
        chosen.add(content)
        frames += lengths[content]
    return chosen


def _take_over(piece: _Piece, recorder: Recorder, split: str) -> None:
    """Adds one episode, after comparing its files with the hash that was taken when it was recorded."""
    root, episode, info = piece.dataset.root, piece.episode, piece.dataset.info
    video, rows = video_path(root, episode.index), piece.dataset.episode_rows(piece.position)
    if hash_episode(video, rows) != piece.content:
        raise DataError(f"{video} and its rows are not as they were recorded; see worldsim data check {root}.")
    pictures = read_episode_and_stats(episode_path(root, episode.index))[1].get(VIDEO_KEY)
    pictures = pictures or summarise_video(video, info.fps, episode.length)
    copy = recorder.root / PARTIAL / f"episode-{recorder.next_index}.mp4"
    with named_errors("write", copy):
        copy.parent.mkdir(exist_ok=True)
        _link(video, copy)
    labels = {name: getattr(episode, name) for name in LABELS}
    recorder.commit(Take(copy, rows, pictures, episode.frames_hash), **{**labels, "split": split})


def _link(source: Path, target: Path) -> None:
    """A second name for a video where the file system allows it, since no recorder changes one; otherwise a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _figures(recorder: Recorder, added: int, skipped: int) -> dict[str, Any]:
    episodes = recorder.episodes.values()
    splits = {split: [e.length for e in episodes if e.split == split] for split in sorted({e.split for e in episodes})}
    return {
        "episodes": {split: len(lengths) for split, lengths in splits.items()},
        "frames": {split: sum(lengths) for split, lengths in splits.items()},
        "added": added,
        "skipped": skipped,
    }
