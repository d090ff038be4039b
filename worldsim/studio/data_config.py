"""What the commands `worldsim studio ...` make. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from worldsim.choices import Device
from worldsim.data.config import LARGEST_SEED, MOST_FRAMES, MOST_PROCESSES
from worldsim.errors import DataError, check_int
from worldsim.files import check_writable, check_writable_folder
from worldsim.train.options import parse_duration


def held_out_of(data: Path) -> Path:
    """Where the held-out recordings of a folder lie: beside it."""
    return data.with_name(f"{data.name}-eval")


@dataclass(frozen=True)
class StudioCollectConfig:
    """How the studio's data is recorded: one dataset per picture size in a folder, and held-out ones in another.

    Attributes:
        out: folder of the datasets, each named after its size, such as 96x64; the held-out ones lie beside it in a folder
            whose name ends in -eval.
        game: that is recorded; one with the state of doom/studio.
        frames: training frames over all sizes.
        eval_frames: held-out frames over all sizes, from episodes that training never sees.
        processes: games played at a time; by default one per core.
        seed: of all episodes and captions.
    """

    out: Path = Path("data/studio")
    game: str = "doom/studio"
    frames: int = 60_000
    eval_frames: int = 8_000
    processes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("frames", "eval_frames"):
            check_int(name, getattr(self, name), 0, MOST_FRAMES)
        if self.processes is not None:
            check_int("processes", self.processes, 1, MOST_PROCESSES)
        check_int("seed", self.seed, 0, LARGEST_SEED)


@dataclass(frozen=True)
class CaptionsConfig:
    """Which datasets get captions; those that they have are replaced.

    Attributes:
        folders: datasets, or folders of datasets.
        by: what tells what is seen: the game's own state, or the pictures alone, for recordings that hold no state.
        seed: of the words that are drawn.
    """

    folders: Positional[Annotated[tuple[Path, ...], arg(metavar="FOLDER")]]
    by: Literal["state", "pictures"] = "state"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.folders:
            raise DataError("folders was empty; give at least one dataset, or a folder of some.")
        check_int("seed", self.seed, 0, LARGEST_SEED)


@dataclass(frozen=True)
class WordsConfig:
    """How word vectors are made.

    Attributes:
        out: file to write.
        common: common English words beside those of the captions.
        channels: numbers per word.
    """

    out: Path = Path("words.safetensors")
    common: int = 15_000
    channels: int = 64

    def __post_init__(self) -> None:
        check_int("common", self.common, 1_000, 22_000)
        check_int("channels", self.channels, 8, 384)
        check_writable(self.out, (".safetensors",))


@dataclass(frozen=True)
class JudgeConfig:
    """How the judge of pictures is trained and measured.

    Attributes:
        data: folder of the studio's training data.
        eval_data: folder of its held-out data; by default beside the training data, with -eval after its name.
        out: file to write.
        steps: batches to train on; 0 trains nothing and measures the judge that is at `out`.
        seed: of weights and batches.
    """

    data: Path = Path("data/studio")
    eval_data: Path | None = None
    out: Path = Path("judge.safetensors")
    steps: int = 1600
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("steps", self.steps, 0, 1_000_000)
        check_int("seed", self.seed, 0, LARGEST_SEED)
        check_writable(self.out, (".safetensors",))

    @property
    def held_out(self) -> Path:
        """Folder of the held-out data."""
        return self.eval_data or held_out_of(self.data)


@dataclass(frozen=True)
class StudyConfig:
    """Worlds that are trained alike but for one thing, and compared.

    Attributes:
        kind: "scaling" trains three sizes of the transformer for each budget; "shapes" trains frames as they are, and frames cut
            to squares, for the first budget.
        world: whose tokenizer and word vectors all of them use; name, folder or Hub id.
        data: folder of captioned datasets, one for each size of frames; held-out ones lie beside it.
        out: folder in which each kind of study has one of its own, with the runs, the figures, the plot and the sheet.
        budgets: of training, such as 5m or 20m.
        prompts: held-out prompts that each world is asked for.
        compile: compile the networks, which takes some minutes of each run beyond its budget.
        device: where to train.
    """

    kind: Positional[Literal["scaling", "shapes"]]
    world: str = "doom/studio"
    data: Path = Path("data/studio")
    out: Path = Path("runs/study")
    budgets: tuple[str, ...] = ("5m", "20m")
    prompts: int = 48
    compile: bool = False
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_int("prompts", self.prompts, 1)
        if not self.budgets:
            raise DataError("budgets was empty; give at least one, such as 5m.")
        assert self.seconds
        check_writable_folder(self.out)

    @property
    def seconds(self) -> tuple[float, ...]:
        """The budgets in seconds."""
        return tuple(parse_duration("budgets", budget) for budget in self.budgets)


@dataclass(frozen=True)
class GalleryConfig:
    """A page with one clip of every task, beside what the game shows in its place.

    Attributes:
        world: that reads prompts; name, folder or Hub id.
        data: folder of held-out, captioned datasets, one for each size of frames.
        out: folder of the page and its clips.
        seed: of the recordings and the noise.
        device: where the world runs.
        c2pa: sign a manifest in each clip, which says that it is generated; the metadata say so, too. There is no watermark, as
            half of each picture is the game's.
    """

    world: Positional[Annotated[str, arg(metavar="WORLD")]] = "doom/studio"
    data: Path = Path("data/studio-eval")
    out: Path = Path("gallery")
    seed: int = 0
    device: Device = "auto"
    c2pa: bool = True

    def __post_init__(self) -> None:
        check_int("seed", self.seed, 0, LARGEST_SEED)
        check_writable_folder(self.out)
