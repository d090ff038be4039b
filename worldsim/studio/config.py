"""What the commands `worldsim record` and `worldsim generate` make. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import LARGEST_SEED, Device, Runtime
from worldsim.errors import check_int

SCALES = 1, 64
MOST_TOGETHER = 1000  # frames that are denoised all together
MOST_CALLS = 1000


@dataclass(frozen=True)
class RecordConfig:
    """A clip of random play.

    Attributes:
        world: name, folder or Hub id.
        out: an .mp4, a .gif, or a .png that shows the frames from left to right.
        frames: how many.
        seed: of the start, the controls and the noise. Where an episode ends, another begins, with the next seed.
        num_steps: network calls per frame; by default the world's own.
        scale: pixels of the clip per pixel of a frame.
        device: where the world runs.
        runtime: who executes a step; "auto" is OpenVINO where it is prepared here, otherwise torch.
    """

    world: Positional[Annotated[str, arg(metavar="WORLD")]]
    out: Path = Path("dream.mp4")
    frames: int = 300
    seed: int = 0
    num_steps: int | None = None
    scale: int = 4
    device: Device = "auto"
    runtime: Runtime = "auto"

    def __post_init__(self) -> None:
        check_int("frames", self.frames, 1)
        check_int("seed", self.seed, 0, LARGEST_SEED)
        if self.num_steps is not None:
            check_int("num_steps", self.num_steps, 1, MOST_CALLS)
        check_int("scale", self.scale, *SCALES)


@dataclass(frozen=True)
class GenerateConfig:
    """A picture or a clip that begins with no frame at all.

    Attributes:
        world: name, folder or Hub id.
        out: a .png shows the frames from left to right, an .mp4 or .gif one after another.
        frames: how many, denoised all together.
        num_steps: network calls.
        seed: of the controls and the noise.
        scale: pixels of the clip per pixel of a frame.
        device: where the world runs.
    """

    world: Positional[Annotated[str, arg(metavar="WORLD")]]
    out: Path = Path("generated.png")
    frames: int = 1
    num_steps: int = 8
    seed: int = 0
    scale: int = 4
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_int("frames", self.frames, 1, MOST_TOGETHER)
        check_int("num_steps", self.num_steps, 1, MOST_CALLS)
        check_int("seed", self.seed, 0, LARGEST_SEED)
        check_int("scale", self.scale, *SCALES)
