"""What the commands `worldsim data import KIND` do. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from worldsim.controls import LARGEST_TURN
from worldsim.data.format import MAX_FPS, MAX_SIDE, MIN_FPS
from worldsim.errors import DataError, check_int, check_number

MOST_SKIPPED = 1000
SLOWEST = 10.0  # seconds


@dataclass(frozen=True)
class ImportConfig:
    """Which recordings are read, and what becomes of them.

    Attributes:
        path: of the recordings.
        out: folder of the dataset: new, empty, or a dataset of the same kind, to which they are added.
        game: name for the game that was recorded.
        height: of the frames in pixels, for training a multiple of 16; by default as they are.
        width: of the frames in pixels, likewise; give both or neither.
        every: keep each so many-th frame; keys held in between count, motions and rewards are summed.
        lossless: store frames bit for bit.
        skip_damaged: go on after a recording that cannot be read.
    """

    path: Positional[Annotated[Path, arg(metavar="PATH")]]
    out: Path
    game: str = "imported"
    height: int | None = None
    width: int | None = None
    every: int = 1
    lossless: bool = False
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise DataError(f"height was {self.height} and width {self.width}; give both or neither.")
        for name in ("height", "width"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1, MAX_SIDE)
        check_int("every", self.every, 1, MOST_SKIPPED)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the frames to store, given those of the source."""
        return (height, width) if self.height is None or self.width is None else (self.height, self.width)


@dataclass(frozen=True)
class VideoConfig(ImportConfig):
    """Videos, each beside a table of its controls: `clip.mp4` and `clip.csv`.

    Attributes:
        path: a video, or a folder of videos.
        produced: which frame the controls in a table's row t led to: "next", frame t + 1; or "same", frame t.
        mouse_limit: largest motion in degrees per frame.
    """

    produced: Literal["next", "same"] = "next"
    mouse_limit: float = 36.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("mouse_limit", self.mouse_limit, 0, LARGEST_TURN)


@dataclass(frozen=True)
class VptConfig(ImportConfig):
    """Minecraft as OpenAI's VPT contractors recorded it: `NAME.mp4` and `NAME.jsonl`.

    Attributes:
        path: a video, or a folder of videos.
        mouse_limit: largest turn in degrees per frame; faster ones are cut to it.
    """

    game: str = "minerl/vpt"
    mouse_limit: float = 18.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("mouse_limit", self.mouse_limit, 0.001, 180)


@dataclass(frozen=True)
class MineRLConfig(VptConfig):
    """Minecraft as MineRL's dataset of 2019 has it: folders with `recording.mp4`, `rendered.npz` and
    `metadata.json`.

    Attributes:
        path: such a folder, or one that holds them.
    """

    game: str = "minerl/imported"


@dataclass(frozen=True)
class OwlConfig(ImportConfig):
    """Recordings of OWL Control: folders with a video and `inputs.csv`.

    Attributes:
        path: such a folder, or one that holds them.
        keys: to record; by default all that were pressed.
        degrees: that the view turns for each count of the mouse.
        mouse_limit: largest motion in degrees per frame; faster ones are cut to it.
        delay: seconds by which the picture lags behind the inputs.
    """

    keys: tuple[str, ...] = ()
    degrees: float = 0.1
    mouse_limit: float = 36.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("degrees", self.degrees, 0, LARGEST_TURN)
        check_number("mouse_limit", self.mouse_limit, 0, LARGEST_TURN)
        check_number("delay", self.delay, -SLOWEST, SLOWEST)


@dataclass(frozen=True)
class ArrayConfig(ImportConfig):
    """Recordings whose actions are numbers or vectors.

    Attributes:
        actions: what is held with each action, or with each entry of an action that is a vector: `none`, `a`,
            `up+left`, `mouse.left`, `mouse.dx=10`. By default number keys.
        fps: frames per second, before `every`; by default what the recordings say.
        image: name of the pictures among the observations; by default the only one.
    """

    actions: tuple[str, ...] = ()
    fps: float | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps is not None:
            check_number("fps", self.fps, MIN_FPS, MAX_FPS)


@dataclass(frozen=True)
class D4rlConfig(ArrayConfig):
    """An HDF5 file as D4RL has them: `observations`, `actions`, `rewards`, `terminals`, `timeouts`.

    Attributes:
        path: of the file.
        image: name of the pictures in the file.
    """

    image: str | None = "observations"


@dataclass(frozen=True)
class MinariConfig(ArrayConfig):
    """A Minari dataset.

    Attributes:
        path: its folder, or its name among those that Minari keeps.
    """


@dataclass(frozen=True)
class LeRobotConfig(ArrayConfig):
    """A LeRobot v3 dataset.

    Attributes:
        path: its folder.
    """
