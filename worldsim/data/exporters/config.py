"""What `worldsim data export` does. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from worldsim.data.format import SPLITS
from worldsim.errors import DataError, check_int
from worldsim.provenance.claim import MARKS
from worldsim.provenance.options import Marks

LARGEST_SCALE = 16


@dataclass(frozen=True)
class ExportConfig:
    """Which dataset is exported, and as what.

    Attributes:
        dataset: folder of the dataset.
        to: the format: minari, a Minari dataset, without loss; lerobot, a LeRobot v3 dataset for its training
            scripts; mp4 or gif, a clip of one episode with its keys and mouse below.
        out: folder, new or empty; or the clip's file.
        split: "train" or "eval"; by default all episodes.
        episode: number of the episode that becomes a clip.
        first: first frame of the clip.
        frames: of the clip; by default up to the episode's end.
        scale: of the clip: pixels on a side for each of a frame's pixels.
        overlay: show keys and mouse in the clip.
        marks: how a clip of a dreamed episode is marked as generated.
    """

    dataset: Positional[Annotated[Path, arg(metavar="DATASET")]]
    to: Literal["minari", "lerobot", "mp4", "gif"]
    out: Path
    split: Literal["train", "eval"] | None = None
    episode: int = 0
    first: int = 0
    frames: int | None = None
    scale: int = 4
    overlay: bool = True
    marks: Marks = MARKS

    def __post_init__(self) -> None:
        if self.split not in (None, *SPLITS):
            raise DataError(f"split was {self.split!r}; give one of: {', '.join(SPLITS)}.")
        for name in ("episode", "first"):
            check_int(name, getattr(self, name), 0)
        if self.frames is not None:
            check_int("frames", self.frames, 1)
        check_int("scale", self.scale, 1, LARGEST_SCALE)
