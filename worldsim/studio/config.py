"""What `worldsim record` and the commands of the studio make. Importing this loads no PyTorch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import LARGEST_SEED, Device, Runtime
from worldsim.errors import ConfigError, FileError, check_int, check_number, shown
from worldsim.provenance.claim import MARKS
from worldsim.provenance.options import Marks

SCALES = 1, 64
STUDIO = "doom/studio"
MOST_MADE = 10_000  # frames of a clip
MOST_GUIDANCE = 20.0
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
        marks: how a clip that a world generated is marked.
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
    marks: Marks = MARKS

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
class MakeOptions:
    """What all commands of the studio take.

    Attributes:
        world: name, folder or Hub id.
        out: an .mp4 or .gif shows the frames one after another, a .png from left to right.
        prompt: what is to be seen, in plain words.
        expand: make a short prompt detailed, in the words that the world was trained on; what became of it is printed.
        controls: that lead from frame to frame, such as "w*8,a+space*4"; "policy" for the world's own; by default unknown ones.
        num_steps: network calls for every 16 frames or so; with a policy for every frame.
        guidance: how closely the prompt is followed; 1 as trained, more follows it more closely at twice the cost.
        seed: of the noise.
        scale: pixels of the clip per pixel of a frame.
        sheet: write all frames as one picture beside the clip, too.
        draft: a preview of half the size in a quarter of the network calls.
        device: where the world runs.
        marks: how the clip is marked as generated.
    """

    world: str = STUDIO
    out: Path = Path("clip.mp4")
    prompt: str = ""
    expand: bool = True
    controls: str | None = None
    num_steps: int = 16
    guidance: float = 2.0
    seed: int = 0
    scale: int = 4
    sheet: bool = False
    draft: bool = False
    device: Device = "auto"
    marks: Marks = MARKS

    def __post_init__(self) -> None:
        check_int("num_steps", self.num_steps, 1, MOST_CALLS)
        check_number("guidance", self.guidance, 0, MOST_GUIDANCE)
        check_int("seed", self.seed, 0, LARGEST_SEED)
        check_int("scale", self.scale, *SCALES)


@dataclass(frozen=True)
class GenerateConfig:
    """A clip of what a prompt says.

    Attributes:
        text: the prompt; or leave it out for anything.
        prompts: file with a prompt in every line; each becomes a clip of its own, whose name gets its number.
        frames: of the clip.
        size: WIDTHxHEIGHT in pixels, such as 96x64; by default that of the world in play.
    """

    text: Positional[Annotated[str, arg(metavar="PROMPT")]] = ""
    prompts: Path | None = None
    frames: int = 16
    size: str | None = None

    def __post_init__(self) -> None:
        check_int("frames", self.frames, 1, MOST_MADE)
        parse_size(self.size)


@dataclass(frozen=True)
class ImageConfig:
    """A picture of what a prompt says.

    Attributes:
        text: the prompt; or leave it out for anything.
        size: WIDTHxHEIGHT in pixels.
    """

    text: Positional[Annotated[str, arg(metavar="PROMPT")]] = ""
    size: str | None = None

    def __post_init__(self) -> None:
        parse_size(self.size)


@dataclass(frozen=True)
class AnimateConfig:
    """A clip that begins with a picture.

    Attributes:
        picture: a PNG or JPEG file, whose middle is taken in the shape of the clip.
        frames: of the clip, the picture included.
        size: WIDTHxHEIGHT in pixels; by default about the world's own in the picture's shape.
    """

    picture: Positional[Annotated[str, arg(metavar="PICTURE")]]
    frames: int = 16
    size: str | None = None

    def __post_init__(self) -> None:
        check_int("frames", self.frames, 2, MOST_MADE)
        parse_size(self.size)


@dataclass(frozen=True)
class ExtendConfig:
    """What came before a clip, and what comes after it.

    Attributes:
        clip: a video file.
        after: frames to add at its end.
        before: frames to add at its beginning.
        size: WIDTHxHEIGHT in pixels; by default about the world's own in the clip's shape.
    """

    clip: Positional[Annotated[str, arg(metavar="CLIP")]]
    after: int = 16
    before: int = 0
    size: str | None = None

    def __post_init__(self) -> None:
        for name in ("after", "before"):
            check_int(name, getattr(self, name), 0, MOST_MADE)
        parse_size(self.size)


@dataclass(frozen=True)
class ConnectConfig:
    """Frames that lead from one clip to another.

    Attributes:
        first: a video file.
        second: another.
        frames: to add between them.
        size: WIDTHxHEIGHT in pixels; by default about the world's own in the first clip's shape.
    """

    first: Positional[Annotated[str, arg(metavar="FIRST")]]
    second: Positional[Annotated[str, arg(metavar="SECOND")]]
    frames: int = 12
    size: str | None = None

    def __post_init__(self) -> None:
        check_int("frames", self.frames, 1, MOST_MADE)
        parse_size(self.size)


@dataclass(frozen=True)
class LoopConfig:
    """Frames that lead from the end of a clip back to its beginning.

    Attributes:
        clip: a video file.
        frames: to add.
        size: WIDTHxHEIGHT in pixels; by default about the world's own in the clip's shape.
    """

    clip: Positional[Annotated[str, arg(metavar="CLIP")]]
    frames: int = 12
    size: str | None = None

    def __post_init__(self) -> None:
        check_int("frames", self.frames, 1, MOST_MADE)
        parse_size(self.size)


@dataclass(frozen=True)
class EditConfig:
    """A clip made anew, in its old structure.

    Attributes:
        clip: a video file, or a picture.
        strength: how much of it is forgotten, above 0 and up to 1.
        size: WIDTHxHEIGHT in pixels; by default about the world's own in the clip's shape.
    """

    clip: Positional[Annotated[str, arg(metavar="CLIP")]]
    strength: float = 0.6
    size: str | None = None

    def __post_init__(self) -> None:
        if check_number("strength", self.strength, 0, 1) == 0:
            raise ConfigError("strength was 0, which changes nothing; give a number above 0, such as 0.6.")
        parse_size(self.size)


@dataclass(frozen=True)
class StudioCounts:
    """With --studio: how much of each task is measured.

    Attributes:
        frames: that are made of each clip.
        prompts: held-out prompts.
        edits: clips that are made anew.
        revisits: turns away and back, compared with the game at the same pose; 0 for none, such as where the game is missing.
        pasts: clips with a fireball, and as many without, of which what came before is made.
        acts: clips in which the world plays itself.
        sized: clips at each picture size.
        strengths: of those edits.
        guidance: how closely prompts are followed.
    """

    frames: int = 12
    prompts: int = 96
    edits: int = 12
    revisits: int = 24
    pasts: int = 16
    acts: int = 40
    sized: int = 24
    strengths: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 0.9)
    guidance: float = 2.0

    def __post_init__(self) -> None:
        for name in ("frames", "prompts", "edits"):
            check_int(name, getattr(self, name), 1)
        for name in ("revisits", "pasts", "acts", "sized"):
            check_int(name, getattr(self, name), 0)
        check_number("guidance", self.guidance, 0, MOST_GUIDANCE)
        for strength in self.strengths:
            check_number("strengths", strength, 0.01, 1)


@dataclass(frozen=True)
class StudioEvalConfig(StudioCounts):
    """How much is measured of a world that reads prompts, and from which seed.

    Attributes:
        clips: held-out clips that are extended, connected and looped.
        num_steps: network calls per window.
        seed: of clips, prompts and noise.
    """

    clips: int = 24
    num_steps: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("clips", self.clips, 2)
        check_int("num_steps", self.num_steps, 1)
        check_int("seed", self.seed, 0)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`(width, height)` of "96x64", or None.

    Raises:
        ConfigError: if it is no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if match is None:
        raise ConfigError(f"size was {shown(text)}; give WIDTHxHEIGHT in pixels, such as 96x64.")
    return int(match[1]), int(match[2])
