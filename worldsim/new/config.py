"""What the command `worldsim new` is given. Importing this loads no PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from worldsim.choices import Device
from worldsim.errors import ConfigError, check_int, shown
from worldsim.train.options import parse_duration

MOST = 2**40


@dataclass(frozen=True)
class NewConfig:
    """Which environment becomes a world, and what is wanted otherwise than it would be found.

    Attributes:
        name: of the world, such as atari/pong, and of the folder that is made for it.
        env: Gymnasium id, such as ALE/Pong-v5 or module:Name-v0; or module:attribute or file.py:attribute of what makes the
            environment. It may be left out where the folder holds a game.py already.
        budget: training time in all, such as 20m or 2h.
        options: keywords of the environment, as JSON.
        python: interpreter that has MineRL, for its environments, such as MineRLTreechop-v0; see the page on MineRL.
        old_gym: the environment speaks the old Gym's API.
        out: folder of everything; by default the name.
        size: of the frames, width x height, such as 80x96; by default found.
        crop: top, left, bottom and right of what is kept of the picture; by default found.
        resize: how frames are made smaller; by default found.
        fps: steps of the environment per second; by default what it says.
        frame_skip: steps of the environment per frame; by default as many as it takes to come down to 20 frames a second.
        rest: number of the action that nothing held stands for; by default found by its name or effect.
        rename: other keys than those found, such as d=w a=s.
        meaning: what controls do, such as w=up, for the help in the window.
        policy: who plays for the recordings: random, pacing, sweeping, restless; module:Class of your own, which sees frame and
            info, see the tutorial; or the .zip of a Stable-Baselines3 model that was trained on the environment. By default
            random, or restless in games of turns.
        human: you play, in a window.
        frames: frames to record for training; by default what the budget can make use of.
        eval_frames: held-out frames; by default some episodes.
        processes: games played at a time; by default one per core.
        seed: of all recordings.
        stop_after: stage after which to stop; the same command without it goes on.
        smoke: run all stages in a minute on very little, to find out whether they work; leaves only the first stage's files.
        device: where to train.
        compile: compile the networks, which pays off after some minutes; needs a C++ compiler.
    """

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    env: str = ""
    budget: str = "1h"
    options: str = "{}"
    python: str = ""
    old_gym: bool = False
    out: Path | None = None
    size: str = ""
    crop: tuple[int, ...] = ()
    resize: Literal["area", "max", "nearest"] | None = None
    fps: float | None = None
    frame_skip: int | None = None
    rest: int | None = None
    rename: tuple[str, ...] = ()
    meaning: tuple[str, ...] = ()
    policy: str = ""
    human: bool = False
    frames: int | None = None
    eval_frames: int | None = None
    processes: int | None = None
    seed: int = 0
    stop_after: Literal["spec", "collect", "train"] | None = None
    smoke: bool = False
    device: Device = "auto"
    compile: bool = True

    def __post_init__(self) -> None:
        parse_duration("budget", self.budget)
        self.height_and_width()
        if len(self.crop) not in (0, 4):
            raise ConfigError(f"crop was {self.crop}; give four numbers: top, left, bottom and right.")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ConfigError(f"fps was {self.fps}; give steps per second, above 0 and at most 1000.")
        for name in ("frame_skip", "frames", "eval_frames", "processes"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1, MOST)
        check_int("seed", self.seed, 0, 2**62)
        pairs("rename", self.rename)
        pairs("meaning", self.meaning)
        if self.human and self.policy:
            raise ConfigError(f"policy was {shown(self.policy)} and human was set; give only one of them.")

    @property
    def seconds(self) -> float:
        """The budget in seconds."""
        return parse_duration("budget", self.budget)

    @property
    def folder(self) -> Path:
        """Of everything that is made."""
        return self.out or Path(self.name)

    def height_and_width(self) -> tuple[int, int] | None:
        """The size wanted, `(height, width)` in pixels; None if it is to be found.

        Raises:
            ConfigError: if it is not of the form 80x96.
        """
        if not self.size:
            return None
        match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", self.size)
        if match is None:
            raise ConfigError(f"size was {shown(self.size)}; give width x height, such as 80x96.")
        return int(match[2]), int(match[1])


def pairs(name: str, given: Iterable[str]) -> dict[str, str]:
    """ "d=w", "a=s" -> {"d": "w", "a": "s"}.

    Args:
        name: of the option, for the error.
        given: as typed.

    Raises:
        ConfigError: if one has no equals sign, or a name comes twice.
    """
    found: dict[str, str] = {}
    for pair in given:
        one, equals, other = pair.partition("=")
        if not one or not equals or not other or one in found:
            raise ConfigError(f"{name} was {' '.join(given)!r}; give pairs such as d=w, each name once.")
        found[one] = other
    return found
