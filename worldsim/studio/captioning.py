"""Captions of a dataset, in a table beside its other metadata: written once, read while training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.data.format import INFO_PATH
from worldsim.data.tables import check_unpacked
from worldsim.errors import DataError, printable
from worldsim.files import replacing
from worldsim.hub import check_inside
from worldsim.studio.captions import LENGTHS, describe
from worldsim.studio.scene import COLUMNS, Scene, SceneReader

CAPTIONS_PATH = "meta/captions.parquet"
SEGMENT = 16  # frames that share captions
VARIANTS = 2  # captions of each segment and level
NEEDED = ("place", "x", "y", "health", "weapon", "ammo", *COLUMNS)  # state of which captions are made
_TRIES = 60
_KINDS = {"episode": pa.int64(), "start": pa.int64(), "stop": pa.int64(), "level": pa.int8(), "text": pa.string()}

Reader = Callable[[Dataset, int], "list[Scene]"]


def segments(length: int) -> list[tuple[int, int]]:
    """Start and stop of an episode's segments: each of `SEGMENT` frames but the last, which has up to half as many more."""
    starts = list(range(0, max(length - SEGMENT // 2, 1), SEGMENT))
    return list(zip(starts, [*starts[1:], length], strict=True))


def game_scenes(dataset: Dataset, i: int) -> list[Scene]:
    """The scene of each segment of episode `i`, from the game's own state.

    Raises:
        DataError: if the dataset has no such state.
    """
    missing = [name for name in NEEDED if name not in dataset.info.state]
    if missing:
        raise DataError(
            f"{dataset.root} records no {missing[0]!r}, of which captions are made; use worldsim studio captions --by pictures."
        )
    reader, episode = SceneReader(dataset.info.state, dataset.spec), dataset.episode(i)
    return [
        reader.read(episode.states[a:b], episode.actions[a:b], episode.frames[(a + b) // 2])
        for a, b in segments(len(episode.frames))
    ]


def caption_dataset(
    root: Path, *, seed: int = 0, scenes: Reader = game_scenes, taken: set[str] | None = None, progress: bool = True
) -> int:
    """Writes the captions of a dataset to `CAPTIONS_PATH` in its folder, in the stead of those before.

    The table has the columns `episode` (index of the episode), `start` and `stop` (frames), `level` (1 to 3) and `text`.

    Args:
        root: folder of the dataset.
        seed: of the words that are drawn; equal seeds give equal captions.
        scenes: says what an episode's segments show.
        taken: captions that are not to be used again; those of this dataset are added.
        progress: show a progress bar.

    Returns:
        How many captions there are.

    Raises:
        DataError: if there is no dataset, or it does not have what `scenes` needs.
    """
    dataset = Dataset(root)
    rows = list(_rows(dataset, seed, scenes, set() if taken is None else taken, progress))
    columns = {name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(_KINDS.items())}
    with replacing(dataset.root / CAPTIONS_PATH) as temporary:
        pq.write_table(pa.table(columns), temporary)
    return len(rows)


def caption_all(
    roots: Sequence[Path], *, seed: int = 0, scenes: Reader = game_scenes, progress: bool = True
) -> dict[str, dict[str, int]]:
    """Captions several datasets, no two of their captions alike; see `caption_dataset`.

    Returns:
        Folder of each dataset -> numbers of episodes, frames and captions.
    """
    taken: set[str] = set()
    figures = {}
    for root in roots:
        captions, dataset = caption_dataset(root, seed=seed, scenes=scenes, taken=taken, progress=progress), Dataset(root)
        figures[str(root)] = {"episodes": len(dataset), "frames": dataset.total_frames, "captions": captions}
    return figures


def datasets_in(folder: Path) -> list[Path]:
    """A dataset, or all that lie in a folder.

    Raises:
        DataError: if there is none.
    """
    found = [root for root in (folder, *sorted(folder.glob("*"))) if (root / INFO_PATH).is_file()]
    if not found:
        raise DataError(f"no dataset at {folder} or in it; record one with worldsim studio collect.")
    return found


def _rows(dataset: Dataset, seed: int, scenes: Reader, taken: set[str], progress: bool) -> Iterator[tuple[Any, ...]]:
    for i in tqdm(range(len(dataset)), unit="episode", desc=f"captions {dataset.root.name}", disable=not progress):
        info = dataset.episodes[i]
        rng = np.random.default_rng((seed, info.index))
        for (start, stop), scene in zip(segments(info.length), scenes(dataset, i), strict=True):
            for level in LENGTHS:
                for _ in range(VARIANTS):
                    for _ in range(_TRIES):
                        text = describe(scene, level, rng)
                        if text not in taken:
                            break
                    taken.add(text)
                    yield info.index, start, stop, level, text


class Captions:
    """The captions of a dataset.

    >>> captions = Captions("data/studio/96x64")
    >>> captions.at(3, 40, rng)
    'a brown brick room, two imps ahead, strafing left'

    Args:
        root: folder of the dataset.

    Raises:
        DataError: if it has no captions, or they are damaged.
    """

    def __init__(self, root: str | Path) -> None:
        path = Path(root) / CAPTIONS_PATH
        check_inside(path, Path(root), DataError)
        try:
            file = pq.ParquetFile(os.path.abspath(path))
            check_unpacked(file.metadata, path)
            table = file.read(columns=list(_KINDS))
            episodes, starts, stops, self._levels = (
                table[name].to_numpy().astype(np.int64, casting="safe") for name in ("episode", "start", "stop", "level")
            )
            self._texts: list[str] = table["text"].cast(pa.string()).to_pylist()
            if None in self._texts:
                raise ValueError("a caption is missing")
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            reason = printable(str(error), 200)
            raise DataError(f"{path} cannot be read ({reason}); make it with worldsim studio captions {root}.") from error
        self._segments: dict[int, tuple[NDArray[np.int64], list[NDArray[np.intp]]]] = {}
        self._stops: dict[int, int] = {}
        for episode in np.unique(episodes):
            rows = np.flatnonzero(episodes == episode)
            begun = np.unique(starts[rows])
            self._segments[int(episode)] = begun, [rows[starts[rows] == start] for start in begun]
            self._stops[int(episode)] = int(stops[rows].max())

    def __len__(self) -> int:
        return len(self._texts)

    def at(self, episode: int, frame: int, rng: np.random.Generator, level: int | None = None) -> str:
        """A caption of the segment in which a frame lies, drawn among its levels and variants.

        Args:
            episode: index of the episode, `EpisodeInfo.index`.
            frame: of the episode.
            rng: draws it.
            level: of detail, 1 to 3; by default any.

        Raises:
            DataError: if that frame has none.
        """
        if episode not in self._segments or not 0 <= frame < self._stops[episode]:
            raise DataError(f"episode {episode} has no caption at frame {frame}; make them again with worldsim studio captions.")
        starts, rows = self._segments[episode]
        chosen = rows[max(0, int(np.searchsorted(starts, frame, side="right")) - 1)]
        if level is not None:
            chosen = chosen[self._levels[chosen] == level]
            if not len(chosen):
                raise DataError(f"episode {episode} has no caption of level {level}; give one of {', '.join(map(str, LENGTHS))}.")
        return self._texts[int(chosen[int(rng.integers(len(chosen)))])]
