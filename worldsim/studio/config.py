"""What the commands `worldsim record` and `worldsim generate` make. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import LARGEST_SEED, Device, Runtime
from worldsim.errors import FileError, check_int

SCALES = 1, 64
MOST_TOGETHER = 1000  # frames that are denoised all together
MOST_CALLS = 1000
CLIPS = (".mp4", ".gif", ".png")


@dataclass(frozen=True)
class RecordConfig:
    """What is played, by whom, and where it is kept: as a clip or as a dataset.

    Attributes:
        source: a world (name, folder or Hub id), a game (name or module:attribute of a GameSpec), or a Gymnasium environment
            (its id, such as CartPole-v1 or ale_py:ALE/Pong-v5).
        out: a clip, if the name ends in .mp4, .gif or .png (which shows the frames from left to right); otherwise the folder of a
            dataset.
        policy: who plays: random, another policy of worldsim collect, module:function of your own, a .zip of Stable-Baselines3,
            or human, which opens a window.
        episodes: how many; by default 10 for a dataset, and for a clip as many as its frames take.
        frames: at most so many in all; by default 300 for a clip.
        seed: of the first episode; the next has the next seed.
        num_steps: network calls per frame of a world; by default its own.
        scale: pixels of a clip, or of the window, per pixel of a frame.
        device: where a world runs.
        runtime: who executes a step of a world; "auto" is OpenVINO where it is prepared here, otherwise torch.
    """

    source: Positional[Annotated[str, arg(metavar="ENV_OR_WORLD")]]
    out: Path = Path("dream.mp4")
    policy: str = "random"
    episodes: int | None = None
    frames: int | None = None
    seed: int = 0
    num_steps: int | None = None
    scale: int = 4
    device: Device = "auto"
    runtime: Runtime = "auto"

    def __post_init__(self) -> None:
        for name in ("episodes", "frames"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        check_int("seed", self.seed, 0, LARGEST_SEED)
        if self.num_steps is not None:
            check_int("num_steps", self.num_steps, 1, MOST_CALLS)
        check_int("scale", self.scale, *SCALES)
        if not self.is_clip and self.out.suffix[1:].isalpha():
            raise FileError(
                f"{str(self.out)!r} cannot be written; a name ends in .mp4 or .gif or .png for a clip; that of a dataset, "
                "a folder, has no such ending."
            )

    @property
    def is_clip(self) -> bool:
        """Whether a clip is wanted, rather than a dataset."""
        return self.out.suffix.lower() in CLIPS


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
