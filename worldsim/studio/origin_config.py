"""What `worldsim inspect`, `studio watermark` and `studio detector` do. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import LARGEST_SEED, Device
from worldsim.errors import check_int
from worldsim.files import check_writable
from worldsim.studio.config import STUDIO
from worldsim.studio.data_config import held_out_of


@dataclass(frozen=True)
class InspectConfig:
    """What is looked at.

    Attributes:
        path: an .mp4, .gif or .png file, or the folder of a dataset.
    """

    path: Positional[Annotated[Path, arg(metavar="FILE")]]


@dataclass(frozen=True)
class DetectorConfig:
    """How the detector of dreams is trained and measured.

    Attributes:
        data: folder of the studio's training data.
        eval_data: folder of its held-out data; by default beside the training data, with -eval after its name.
        world: that dreams; name, folder or Hub id.
        out: file to write.
        clips: dreamed for training, beside as many real ones.
        eval_clips: dreamed for measuring, beside five times as many real ones.
        steps: batches to train on; 0 trains nothing and measures the detector that is at `out`.
        seed: of everything drawn.
        device: where the world runs.
    """

    data: Path = Path("data/studio")
    eval_data: Path | None = None
    world: str = STUDIO
    out: Path = Path("detector.safetensors")
    clips: int = 240
    eval_clips: int = 80
    steps: int = 600
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_int("clips", self.clips, 2, 1_000_000)
        check_int("eval_clips", self.eval_clips, 2, 1_000_000)
        check_int("steps", self.steps, 0, 1_000_000)
        check_int("seed", self.seed, 0, LARGEST_SEED)
        check_writable(self.out, (".safetensors",))

    @property
    def held_out(self) -> Path:
        """Folder of the held-out data."""
        return self.eval_data or held_out_of(self.data)


@dataclass(frozen=True)
class WatermarkConfig:
    """How the watermark is measured.

    Attributes:
        eval_data: folder of the studio's held-out data.
        world: that dreams; name, folder or Hub id.
        clips: that are dreamed, and marked.
        frames: real ones, about, in which no mark must be found.
        seed: of everything drawn.
        device: where the world runs.
    """

    eval_data: Path = Path("data/studio-eval")
    world: str = STUDIO
    clips: int = 80
    frames: int = 5000
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_int("clips", self.clips, 1, 1_000_000)
        check_int("frames", self.frames, 1, 2**40)
        check_int("seed", self.seed, 0, LARGEST_SEED)
