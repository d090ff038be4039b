"""The on-disk format: LeRobot v3 folders, one file triple (video, rows, metadata) per episode.

Row t holds frame t, the action taken there, and the reward and end that this action produced. The metadata file is
written last: an episode exists once it does.
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.errors import DataError, suggest
from worldsim.files import read_json

FORMAT_VERSION = 1
CODEBASE_VERSION = "v3.0"  # LeRobot's name for the layout
FILES_PER_CHUNK = 1000
SPLITS = ("train", "eval")
LABELS = (
    "seed",
    "policy",
    "split",
    "world_hash",
    "sampler",
    "start",
    "capture",
    "place",
    "begun_at",
)  # what a recording says of an episode
MAX_SIDE, MIN_FPS, MAX_FPS = 16384, 0.01, 1000.0
VIDEO_KEY = "observation.images.main"
INFO_PATH = "meta/info.json"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODE_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


@dataclass(frozen=True)
class DatasetInfo:
    """What all episodes of a dataset share.

    Attributes:
        game: name of the game or world.
        control_spec: the controls recorded.
        height: frame height in pixels.
        width: frame width in pixels.
        fps: frames per second of play.
        frame_skip: game ticks per frame.
        lossless: whether the video is stored bit for bit.
        state: names of the game's own state values recorded per frame, such as `("x", "y", "angle")`.
        source: where the game was loaded from and the hash of that file, to be read by people; nothing is loaded from it.

    Raises:
        DataError: if a field is out of range or of the wrong type.
    """

    game: str
    control_spec: ControlSpec
    height: int
    width: int
    fps: float
    frame_skip: int = 1
    lossless: bool = False
    state: tuple[str, ...] = ()
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_text("game", self.game)
        if self.source:
            check_text("source", self.source)
        for name, most in (("height", MAX_SIDE), ("width", MAX_SIDE), ("frame_skip", 2**31 - 1)):
            object.__setattr__(self, name, check_whole(name, getattr(self, name), 1, most))
        try:
            fps = float(self.fps)
        except (TypeError, ValueError):
            fps = math.nan
        if not MIN_FPS <= fps <= MAX_FPS:
            raise DataError(f"fps was {self.fps!r}; give frames per second from {MIN_FPS:g} to {MAX_FPS:g}.")
        object.__setattr__(self, "fps", float(frame_rate(fps)))  # as videos carry it, so that times agree however long they are
        object.__setattr__(self, "lossless", bool(self.lossless))
        object.__setattr__(self, "state", tuple(check_text("state", name) for name in self.state))
        if not isinstance(self.control_spec, ControlSpec):
            raise DataError(f"control_spec was {self.control_spec!r}; give a ControlSpec.")

    @property
    def rate(self) -> Fraction:
        """Frames per second, exactly."""
        return frame_rate(self.fps)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """`(H, W, 3)`."""
        return self.height, self.width, 3

    def to_json(self, episodes: Iterable[EpisodeInfo] = ()) -> dict[str, Any]:
        """The content of `meta/info.json` when the dataset holds `episodes`."""
        episodes = sorted(episodes, key=lambda episode: episode.index)
        ours = {name: value for name, value in asdict(self).items() if name not in ("fps", "control_spec")}
        return {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": None,
            "total_episodes": len(episodes),
            "total_frames": sum(episode.length for episode in episodes),
            "total_tasks": 1,
            "chunks_size": FILES_PER_CHUNK,
            "fps": int(self.fps) if float(self.fps).is_integer() else self.fps,
            "splits": _split_ranges(episodes),
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": _features(self),
            "worldsim": {"format_version": FORMAT_VERSION, "control_spec": self.control_spec.to_dict(), **ours},
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], source: Path) -> DatasetInfo:
        """Reads what `to_json` wrote.

        Raises:
            DataError: if it was written by something else or a newer version.
        """
        ours = content.get("worldsim")
        if not isinstance(ours, dict):
            raise DataError(f"{source} has no 'worldsim' part, so controls and game are unknown; record with worldsim collect.")
        if ours.get("format_version") != FORMAT_VERSION:
            given = ours.get("format_version")
            raise DataError(f"{source} has format {given}; this version of worldsim reads {FORMAT_VERSION}; update worldsim.")
        known = {name: ours[name] for name in (f.name for f in fields(cls)) if name in ours}
        known["control_spec"] = ControlSpec.from_dict(ours["control_spec"])
        return cls(**known, fps=content["fps"])


@dataclass(frozen=True)
class EpisodeInfo:
    """One episode's metadata.

    Attributes:
        index: number of the episode in its dataset.
        length: number of rows: frames, actions, rewards.
        first_row: row of its first frame in the whole dataset.
        seed: seed of the game or world, if it was reset with one.
        policy: name of what chose the controls.
        split: "train" or "eval".
        world_hash: hash of the world that dreamed it; None for a real game.
        sampler: what else the dream's frames depend on, as JSON; None for a real game. See `worldsim.world.replay`.
        start: where the dream began, as JSON, where that is not the start drawn from its seed; None for a real game.
        capture: how the window of a program was recorded, as JSON: its title, the delay that was shifted out, frames
            dropped; None for what was not captured from a window.
        place: name of the map or level, where the game has several and says which; None otherwise.
        begun_at: frames since the reset with `seed` at which the recording began; playing from the seed shows its first
            frame only where this is 0.
        content_hash: SHA-256 of its frames and rows as recorded; None in datasets that are older than it.
        frames_hash: SHA-256 of its frames before they were compressed; None in datasets that are older than it.
    """

    index: int
    length: int
    first_row: int
    game: str
    seed: int | None = None
    policy: str = "unknown"
    split: str = "train"
    world_hash: str | None = None
    sampler: str | None = None
    start: str | None = None
    begun_at: int = 0
    content_hash: str | None = None
    capture: str | None = None
    frames_hash: str | None = None
    place: str | None = None

    @property
    def replayable(self) -> bool:
        """Whether the game or world, reset with `seed`, shows this episode from its first frame on."""
        return self.seed is not None and self.begun_at == 0


@dataclass(frozen=True)
class Rows:
    """The numbers of L frames.

    Attributes:
        actions: float32 `(L, A)` in the order of the control spec's vector.
        rewards: float32 `(L,)`, produced by the action of the same row.
        terminated: bool `(L,)`, the same.
        truncated: bool `(L,)`, the same.
        states: float32 `(L, S)`, the game's own state at the frame; S may be 0.
    """

    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    states: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.rewards)

    @staticmethod
    def join(parts: list[Rows]) -> Rows:
        """All rows of `parts`, one after the other."""
        return Rows(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Rows)))


def frame_rate(fps: float) -> Fraction:
    """Frames per second as the fraction that videos carry: 35 / 3 and 30000 / 1001 survive."""
    return Fraction(fps).limit_denominator(1001)


def location(episode: int) -> dict[str, int]:
    """Chunk and number of an episode's files."""
    chunk, file = divmod(episode, FILES_PER_CHUNK)
    return {"chunk_index": chunk, "file_index": file}


def video_path(root: Path, episode: int) -> Path:
    return root / VIDEO_PATH.format(video_key=VIDEO_KEY, **location(episode))


def data_path(root: Path, episode: int) -> Path:
    return root / DATA_PATH.format(**location(episode))


def episode_path(root: Path, episode: int) -> Path:
    return root / EPISODE_PATH.format(**location(episode))


def episode_files(root: Path) -> dict[int, Path]:
    """Metadata file of every finished episode, by episode index."""
    return _numbered(root, "meta/episodes", "parquet")


def orphans(root: Path) -> list[Path]:
    """Videos and rows, named as we name them, of episodes whose metadata was never written."""
    finished = episode_files(root)
    found = [*_numbered(root, "data", "parquet").items(), *_numbered(root, f"videos/{VIDEO_KEY}", "mp4").items()]
    return [path for index, path in found if index not in finished]


def read_info(root: Path) -> DatasetInfo:
    """The dataset's shared description.

    Raises:
        DataError: if there is no dataset at `root`, or its `info.json` is unreadable.
    """
    path = root / INFO_PATH
    if not os.path.isfile(path):
        raise DataError(f"no dataset at {root} (no {INFO_PATH} in it); check the path, or record one with worldsim collect.")
    try:
        return DatasetInfo.from_json(read_json(path), path)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); restore it from a copy, or record the dataset again.") from error


def damaged(path: Path, error: object) -> DataError:
    """The error for an episode's file that cannot be read."""
    return DataError(
        f"{path} is damaged or missing ({error}); delete the episode's file of the same name under meta/episodes, "
        "then run worldsim collect again to record it anew."
    )


def _numbered(root: Path, folder: str, suffix: str) -> dict[int, Path]:
    """Files that are named exactly as ours are, by episode index; a "file-000 (copy).parquet" is not."""
    paths = sorted((root / folder).glob(f"chunk-*/file-*.{suffix}"))
    names = [re.fullmatch(r"chunk-(\d{3,6})/file-(\d{3})", f"{path.parent.name}/{path.stem}", re.ASCII) for path in paths]
    return {int(name[1]) * FILES_PER_CHUNK + int(name[2]): path for name, path in zip(names, paths, strict=True) if name}


def check_whole(name: str, value: Any, least: int, most: int) -> int:
    """`value` as an int; NumPy's whole numbers are welcome.

    Raises:
        DataError: if it is no whole number, or out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= most:
        raise DataError(f"{name} was {value!r}; give a whole number from {least} to {most}.")
    return number


def check_text(name: str, value: Any) -> str:
    """`value`, if it is text that files can hold.

    Raises:
        DataError: if it is something else, or holds half a surrogate pair.
    """
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
    raise DataError(f"{name} was {value!r}; give a string.")


def check_labels(**labels: Any) -> dict[str, Any]:
    """The labels of an episode (see `EpisodeInfo`), checked and as Python's own types.

    Raises:
        DataError: for an unknown label or a value that cannot be stored.
    """
    unknown = [name for name in labels if name not in LABELS]
    if unknown:
        raise DataError(f"unknown label {unknown[0]!r}; an episode takes: {', '.join(LABELS)}.{suggest(unknown[0], LABELS)}")
    checked = dict(labels)
    if checked.get("seed") is not None:
        checked["seed"] = check_whole("seed", checked["seed"], 0, 2**64 - 1)
    if "begun_at" in checked:
        checked["begun_at"] = check_whole("begun_at", checked["begun_at"], 0, 2**62)
    for name in ("policy", "split", "world_hash", "sampler", "start", "capture", "place"):
        if name in checked and (checked[name] is not None or name in ("policy", "split")):
            check_text(name, checked[name])
    if checked.get("split", "train") not in SPLITS:
        raise DataError(f"split was {checked['split']!r}; give one of: {', '.join(SPLITS)}.")
    return checked


def _split_ranges(episodes: list[EpisodeInfo]) -> dict[str, str]:
    """Episode ranges of each split, such as `{"eval": "0:4", "train": "4:90,95:99"}`."""
    ranges: dict[str, list[list[int]]] = {}
    for episode in episodes:
        runs = ranges.setdefault(episode.split, [])
        if runs and runs[-1][1] == episode.index:
            runs[-1][1] += 1
        else:
            runs.append([episode.index, episode.index + 1])
    return {split: ",".join(f"{start}:{stop}" for start, stop in runs) for split, runs in ranges.items()}


def _features(info: DatasetInfo) -> dict[str, Any]:
    spec = info.control_spec
    video = {
        "video.height": info.height,
        "video.width": info.width,
        "video.channels": 3,
        "video.codec": "h264",
        "video.pix_fmt": "gbrp" if info.lossless else "yuv444p",
        "video.fps": info.fps,
        "video.is_depth_map": False,
        "has_audio": False,
    }
    vectors = {
        "action.keyboard": ("uint8", spec.keys),
        "action.mouse": ("float32", spec.names[len(spec.keys) :]),
        "observation.state": ("float32", info.state),
    }
    scalars = {"next.reward": "float32", "next.terminated": "bool", "next.truncated": "bool", "timestamp": "float32"}
    scalars |= dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
    return {
        VIDEO_KEY: {"dtype": "video", "shape": list(info.frame_shape), "names": ["height", "width", "channels"], "info": video},
        **{n: {"dtype": kind, "shape": [len(names)], "names": list(names)} for n, (kind, names) in vectors.items() if names},
        **{n: {"dtype": kind, "shape": [1], "names": None} for n, kind in scalars.items()},
    }
