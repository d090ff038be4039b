"""What `worldsim eval` measures, and how much. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import Device, Runtime
from worldsim.errors import ConfigError, check_int
from worldsim.files import check_writable
from worldsim.provenance.claim import MARKS
from worldsim.provenance.options import Marks


@dataclass(frozen=True)
class ProbeConfig:
    """How the probe is trained.

    Attributes:
        frames: real frames to train on.
        steps: training steps.
        seed: of games, weights and batches.
    """

    frames: int = 6000
    steps: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("steps", 1), ("seed", 0)):
            check_int(name, getattr(self, name), least)


@dataclass(frozen=True)
class EvalConfig:
    """How much is measured.

    Attributes:
        clips: held-out clips, each a context and `max(horizons)` frames to predict; fewer where the dataset has no more.
        horizons: frames after the context at which figures are given, counted from 1.
        num_steps: network calls per frame; by default the world's own.
        runtime: who executes a step; see `World`.
        seed: of clips, noise, policies and games.
        batch: clips imagined at a time.
        objects: whether to count objects, in games whose objects are known (needs the real game).
        probe: training of the object probe.
        marks: changes of the world that have to stay, in games that name some (needs the real game); 0 for none.
        dreams: long dreams in which objects are counted.
        dream_frames: frames of each.
        pictured: clips on the contact sheets and in the video.
        sheet_frames: frames of the dreams on the contact sheet of long dreams.
        sheet_every: of these, how many lie between two that are shown.
    """

    clips: int = 64
    horizons: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    num_steps: int | None = None
    runtime: Runtime = "auto"
    seed: int = 0
    batch: int = 16
    objects: bool = True
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    marks: int = 24
    dreams: int = 8
    dream_frames: int = 1000
    pictured: int = 4
    sheet_frames: int = 300
    sheet_every: int = 25

    def __post_init__(self) -> None:
        for name in ("clips", "batch", "dreams", "dream_frames", "pictured", "sheet_frames", "sheet_every"):
            check_int(name, getattr(self, name), 2 if name == "clips" else 1)
        check_int("seed", self.seed, 0, 2**31 - 1)
        check_int("marks", self.marks, 0)
        if not self.horizons:
            raise ConfigError("horizons was (); give at least one number of frames.")
        for frames in self.horizons:
            check_int("horizons", frames, 1)
        if self.num_steps is not None:
            check_int("num_steps", self.num_steps, 1)


@dataclass(frozen=True)
class EvalOptions:
    """Which world is measured, on what, and where the pictures go.

    Attributes:
        world: name, folder or Hub id.
        data: dataset with held-out episodes; by default data/GAME, or data beside the game's file.
        out: folder for the contact sheets and the clip; by default runs/eval/GAME, or eval beside the game's file.
        game: file or module:attribute of a game of your own, for its objects; it is run, so give only what you trust.
        sheet_only: draws the contact sheet of long dreams and measures nothing.
        studio: measures the tasks of the studio instead, for a world that reads prompts; data is then a folder of captioned
            datasets, by default data/studio-eval.
        device: where the world runs.
    """

    world: Positional[Annotated[str, arg(metavar="WORLD")]]
    data: Path | None = None
    out: Path | None = None
    game: str | None = None
    sheet_only: bool = False
    studio: bool = False
    device: Device = "auto"


@dataclass(frozen=True)
class ReplayConfig:
    """Which recorded dream is dreamed again.

    Attributes:
        dataset: folder of the dataset.
        episode: its number in the dataset.
        world: name, folder or Hub id of the world; by default the one that ships or that the recording names.
        out: .mp4 or .gif of the frames as they are dreamed now.
        scale: pixels of it per pixel of a frame.
        marks: how it is marked as generated.
    """

    dataset: Positional[Annotated[Path, arg(metavar="DATASET")]]
    episode: int = 0
    world: str | None = None
    out: Path | None = None
    scale: int = 4
    marks: Marks = MARKS

    def __post_init__(self) -> None:
        check_int("episode", self.episode, 0)
        check_int("scale", self.scale, 1, 64)
        if self.out is not None:
            check_writable(self.out, (".mp4", ".gif"))
