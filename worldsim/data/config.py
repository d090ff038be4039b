"""What the commands `worldsim collect`, `data merge` and `data check` do. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.errors import DataError, check_int
from worldsim.files import check_writable
from worldsim.provenance.claim import MARKS
from worldsim.provenance.options import Marks

MOST_FRAMES = LARGEST_SEED = 2**62
MOST_PROCESSES = 4096


@dataclass(frozen=True)
class CollectConfig:
    """How a game is recorded.

    Attributes:
        game: such as doom/take-cover; or one of your own: its file, such as pong/game.py, or module:attribute of a GameSpec.
        out: folder of the dataset; by default data/ and the game's name, or data beside the game's file.
        frames: training frames; by default what the game's world is trained on.
        eval_frames: held-out frames, from episodes that training never sees.
        policy: who plays: random, pacing, sweeping, coverage, shooting, strafing, standing, restless, or module:Class of your
            own, which sees frame and info, or a .zip of Stable-Baselines3; "auto" is the mixture that the game declares.
        processes: games played at a time; by default one per core, or with --ray as many as the cluster has room for.
        seed: of all episodes.
        lossless: store frames bit for bit.
    """

    game: Positional[Annotated[str, arg(metavar="GAME")]]
    out: Path | None = None
    frames: int | None = None
    eval_frames: int | None = None
    policy: str = "auto"
    processes: int | None = None
    seed: int = 0
    lossless: bool = False

    def __post_init__(self) -> None:
        for name in ("frames", "eval_frames"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 0, MOST_FRAMES)
        if self.processes is not None:
            check_int("processes", self.processes, 1, MOST_PROCESSES)
        check_int("seed", self.seed, 0, LARGEST_SEED)


@dataclass(frozen=True)
class MergeConfig:
    """Which recordings are joined, and which of their episodes are held out.

    Attributes:
        sources: folders of recordings with the same game, controls, frame size and rate.
        out: folder of the joined dataset: new, empty, or a dataset of the same kind, which gets what it lacks.
        eval_share: hold out this share of all frames, in whole episodes, above 0 and below 1; which ones depends on
            their content alone. Episodes that `out` holds already keep their split; by default all do.
    """

    sources: Positional[tuple[Path, ...]]
    out: Path
    eval_share: float | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise DataError("sources was empty; give at least one dataset.")
        if self.eval_share is not None and not 0 < self.eval_share < 1:
            raise DataError(f"eval_share was {self.eval_share}; give a share above 0 and below 1, such as 0.1.")


@dataclass(frozen=True)
class CheckConfig:
    """Which dataset is read, and what is done about what is wrong.

    Attributes:
        dataset: folder of the dataset.
        quick: count frames by the index of their video instead of decoding them.
        repair: move damaged episodes aside, into the dataset's folder "orphans", and count rows and totals anew.
    """

    dataset: Positional[Annotated[Path, arg(metavar="DATASET")]]
    quick: bool = False
    repair: bool = False


@dataclass(frozen=True)
class InfoConfig:
    """Which dataset is described.

    Attributes:
        dataset: folder of the dataset.
        sheet: .png for a contact sheet: a row of frames of each of several episodes.
        rows: episodes of the sheet, spread over the dataset.
        columns: frames of each, spread over the episode.
        marks: how a sheet of dreamed episodes is marked as generated.
    """

    dataset: Positional[Annotated[Path, arg(metavar="DATASET")]]
    sheet: Path | None = None
    rows: int = 8
    columns: int = 8
    marks: Marks = MARKS

    def __post_init__(self) -> None:
        if self.sheet is not None:
            check_writable(self.sheet, (".png",))
        for name in ("rows", "columns"):
            check_int(name, getattr(self, name), 1, 64)
