"""How to play: every option of the window, checked before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import LARGEST_SEED, Device, Runtime
from worldsim.errors import WorldsimError
from worldsim.provenance.claim import MARKS
from worldsim.provenance.options import Marks

ZOOMS, SPEEDS, SENSITIVITIES, SEEDS = (1, 64), (0.01, 100.0), (0.01, 100.0), (0, LARGEST_SEED)


@dataclass(frozen=True)
class PlayConfig:
    """How to play.

    Attributes:
        world: name, folder or Hub id; by default you choose one in the window.
        game: file or module:attribute of the world's game, to play it, too; it is run, so give only what you trust. By default
            one of those that come with the package.
        num_steps: network calls per frame; by default the world's own.
        speed: 2 plays twice as fast as the world's own rate.
        seed: of the first start.
        device: where the world runs.
        runtime: who executes a step; "auto" is OpenVINO where it is prepared here, otherwise torch.
        zoom: window pixels per frame pixel at the start, as far as the screen allows.
        fullscreen: begin in fullscreen.
        sensitivity: of the mouse; 1 turns 0.15 degrees per pixel of motion.
        recordings: folder of recordings and screenshots.
        eval_share: share of recorded frames to hold out as the split "eval"; whole episodes.
        replay: dataset to show instead of playing a world.
        episode: first episode to replay.
        frames: stop after so many; 0 for never.
        prompt: what the world shows, in plain words, for a world that reads prompts; Enter says more while playing.
        image: picture to begin with, instead of a start of the world; one may also be dropped onto the window.
        marks: how screenshots of a world are marked as generated.
    """

    world: Positional[Annotated[str, arg(metavar="[WORLD]")]] = ""
    game: str | None = None
    num_steps: int | None = None
    speed: float = 1.0
    seed: int = 0
    device: Device = "auto"
    runtime: Runtime = "auto"
    zoom: int = 6
    fullscreen: bool = False
    sensitivity: float = 1.0
    recordings: Path = Path("recordings")
    eval_share: float = 0.0
    replay: Path | None = None
    episode: int = 0
    frames: int = 0
    prompt: str = ""
    image: Path | None = None
    marks: Marks = MARKS

    def __post_init__(self) -> None:
        if self.num_steps is not None:
            _check("num_steps", self.num_steps, (1, 1000))
        _check("speed", self.speed, SPEEDS)
        _check("seed", self.seed, SEEDS)
        _check("zoom", self.zoom, ZOOMS)
        _check("sensitivity", self.sensitivity, SENSITIVITIES)
        _check("eval_share", self.eval_share, (0.0, 0.9))
        _check("episode", self.episode, (0, math.inf))
        _check("frames", self.frames, (0, math.inf))
        if self.world and self.replay is not None:
            raise WorldsimError(f"world was {self.world!r} and replay {str(self.replay)!r}; give only one of them.")


def _check(name: str, value: float, allowed: tuple[float, float]) -> None:
    """Raises `WorldsimError` unless the value lies between the two that are allowed; NaN never does."""
    low, high = allowed
    if not low <= value <= high:
        limits = f"from {low:g} to {high:g}" if high < 2**31 else f"of at least {low:g}"
        raise WorldsimError(f"{name} was {value}; give a number {limits}.")
