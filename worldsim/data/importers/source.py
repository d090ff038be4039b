"""What every importer gives, and the loop that records it.

All importers keep to one rule, which is that of the format: the controls in a row were held at the row's
frame, and they produced the frame of the next row, as well as the reward and the end in their own row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.controls import ControlSpec
from worldsim.data.folder import check_recordable
from worldsim.data.format import DatasetInfo
from worldsim.data.importers.config import ImportConfig
from worldsim.data.importers.frames import VideoInfo, probe, resized
from worldsim.data.recorder import Recorder
from worldsim.data.tables import hash_episode
from worldsim.data.writer import EpisodeWriter
from worldsim.errors import DataError, WorldsimError, printable, shown

NO_STATE = np.zeros(0, np.float32)


class Row(NamedTuple):
    """One frame and what happened at it.

    Attributes:
        frame: uint8 RGB `(h, w, 3)`, of any size.
        vector: float32 `(A,)`, the controls held at the frame, in the order of the control spec's vector.
        reward: of the step from this frame to the next.
        terminated: whether that step ended the game.
        truncated: whether that step hit a limit from outside the game.
        state: float32 `(S,)`, the game's own state at the frame, where the dataset records one.
    """

    frame: NDArray[np.uint8]
    vector: NDArray[np.float32]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    state: NDArray[np.float32] = NO_STATE


@dataclass(frozen=True)
class Recording:
    """One episode from elsewhere.

    Attributes:
        name: for messages, such as the name of its file.
        rows: gives the rows, in the order of time; called once, when the episode's turn comes.
        labels: as for `Recorder.begin`: `seed`, `policy`, `split` and so on.
    """

    name: str
    rows: Callable[[], Iterable[Row]]
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        episodes, frames: that were added.
        present: episodes that were in the dataset already.
        empty: recordings without a whole row.
        clipped: rows whose mouse motion was larger than the limit of the control spec.
        damaged: recordings that were passed over, with the reason.
    """

    episodes: int
    frames: int
    present: int
    empty: int
    clipped: int
    damaged: tuple[str, ...]


def import_recordings(
    info: DatasetInfo,
    recordings: Iterable[Recording],
    out: str | Path,
    *,
    every: int = 1,
    skip_damaged: bool = False,
    progress: bool = True,
) -> Imported:
    """Adds recordings to a dataset, made if it is not there yet.

    An episode whose content the dataset holds already is not added again, so that the same call after an
    interruption adds what is missing.

    Args:
        info: of the dataset. `fps` and `frame_skip` are those after `every`. Frames are resized to its height
            and width.
        recordings: to add.
        out: folder of the dataset: new, empty, or a dataset of the same kind.
        every: keep each so many-th frame. A kept row holds what was pressed at any of the frames up to the
            next kept one, the sum of their mouse motions and rewards, and their end.
        skip_damaged: go on after a recording that cannot be read, and list it in the result.
        progress: show a progress bar.

    Raises:
        DataError: if a recording is damaged, or `out` holds anything else.
        FileError: if `out` cannot be written.
    """
    check_recordable(out, info)
    tally = {"episodes": 0, "frames": 0, "present": 0, "empty": 0, "clipped": 0}
    damaged: list[str] = []
    with Recorder(out, info) as recorder:
        for recording in tqdm(recordings, desc="importing", unit="recording", disable=not progress):
            try:
                _import_one(recorder, recording, every, tally)
            except DataError as error:
                if not skip_damaged:
                    raise
                damaged.append(printable(f"{recording.name}: {error}", 500))
    return Imported(**tally, damaged=tuple(damaged))


def dataset_info(config: ImportConfig, video: VideoInfo, spec: ControlSpec, **more: Any) -> DatasetInfo:
    """What the dataset is that an import of recordings like `video` makes; `more` are other fields of it."""
    height, width = config.size(video.height, video.width)
    fields = {"game": config.game, "fps": float(video.fps / config.every), "frame_skip": config.every, **more}
    return DatasetInfo(control_spec=spec, height=height, width=width, lossless=config.lossless, **fields)


def run(config: ImportConfig, info: DatasetInfo, recordings: Iterable[Recording], *, progress: bool = True) -> Imported:
    """`import_recordings` as a config says."""
    options: dict[str, Any] = {"every": config.every, "skip_damaged": config.skip_damaged, "progress": progress}
    return import_recordings(info, recordings, config.out, **options)


def check_rate(video: Path, info: DatasetInfo) -> VideoInfo:
    """What a video says of itself.

    Raises:
        DataError: if its rate is not that of the dataset before frames are left out.
    """
    found = probe(video)
    if abs(found.fps / info.frame_skip - info.rate) > info.rate / 1000:
        raise DataError(
            f"{video} has {float(found.fps):g} frames/s, the dataset {info.fps * info.frame_skip:g}; import them apart."
        )
    return found


def _import_one(recorder: Recorder, recording: Recording, every: int, tally: dict[str, int]) -> None:
    info, there = recorder.info, {episode.content_hash for episode in recorder.episodes.values()}
    video = recorder.partial / f"episode-{recorder.next_index}.mp4"
    clipped = 0
    with ExitStack() as undo:
        writer = EpisodeWriter(video, info)
        undo.callback(writer.discard)
        try:
            for row in thinned(_checked(recording.rows(), info.control_spec), info.control_spec, every):
                clipped += _exceeds(info.control_spec, row.vector)
                writer.append(resized(row.frame, info.height, info.width), *row[1:])
        except DataError:
            raise
        except WorldsimError as error:
            raise DataError(f"{shown(recording.name)}: {error}") from error
        if not len(writer):
            tally["empty"] += 1
            return
        undo.pop_all()
    take = writer.close()
    assert take is not None  # it has rows
    if hash_episode(take.video, take.rows) in there:
        take.video.unlink()
        tally["present"] += 1
        return
    episode = recorder.commit(take, **{"policy": "imported", **recording.labels})
    tally["episodes"] += 1
    tally["frames"] += episode.length
    tally["clipped"] += clipped


def _checked(rows: Iterable[Row], spec: ControlSpec) -> Iterator[Row]:
    """The rows, whose vectors fit the control spec.

    Raises:
        ControlError: if one does not.
    """
    for row in rows:
        spec.check_vector(row.vector)
        yield row


def thinned(rows: Iterable[Row], spec: ControlSpec, every: int) -> Iterator[Row]:
    """Every so many-th row, with what happened up to the next one; see `import_recordings`.

    Rows at the end that are too few are dropped, unless they hold the episode's end.
    """
    if every == 1:
        yield from rows
        return
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == every or row.terminated or row.truncated:
            yield _joined(group, spec)
            group = []


def _joined(group: list[Row], spec: ControlSpec) -> Row:
    vectors = np.stack([row.vector for row in group])
    keys, mouse, buttons = spec.split(vectors)
    vector = np.concatenate([keys.max(0), mouse.sum(0), buttons.max(0)]).astype(np.float32)
    first, last = group[0], group[-1]
    reward = float(sum(row.reward for row in group))
    return Row(first.frame, vector, reward, last.terminated, last.truncated, first.state)


def _exceeds(spec: ControlSpec, vector: NDArray[np.float32]) -> bool:
    mouse = spec.split(vector)[1]
    return bool(spec.has_mouse and (np.abs(mouse) > np.array(spec.mouse_limit, np.float32)).any())
