"""What the command `worldsim train` is given. Importing this loads no PyTorch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import Device
from worldsim.errors import ConfigError, check_int, shown

UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, and for how long.

    Attributes:
        game: a preset, such as doom/take-cover; or a game of your own: its file, such as pong/game.py, whose CONFIG says how
            it is trained, or module:attribute of a GameSpec.
        budget: training time in all, such as 90s, 10m or 2h; the plan that is printed first says what comes on top.
        data: dataset: a folder, a URL or a name on the Hub; by default data/NAME, or data beside the game's file, which is
            recorded first if it does not exist.
        out: run folder, which ends up with the world in `world/`; by default runs/NAME, or the folder of the game's file.
        start: world to begin with, whose tokenizer is kept; by default both networks begin with random weights.
        device: where to train.
        compile: compile the networks, which pays off after some minutes; needs a C++ compiler.
        nproc: processes on this machine that train together, each on a GPU of its own where there are GPUs; for several
            machines use torchrun.
        batches: that make one step, shared by the processes; by default one for each.
        restarts: how often training goes on by itself after one of several processes was killed.
    """

    game: Positional[Annotated[str, arg(metavar="GAME")]]
    budget: str = "2h"
    data: Path | None = None
    out: Path | None = None
    start: str | None = None
    device: Device = "auto"
    compile: bool = True
    nproc: int = 1
    batches: int = 0
    restarts: int = 3

    def __post_init__(self) -> None:
        for name, least in {"nproc": 1, "batches": 0, "restarts": 0}.items():
            check_int(name, getattr(self, name), least)
        if 0 < self.batches < self.nproc:
            raise ConfigError(f"batches was {self.batches} and nproc {self.nproc}; give at least one batch for each process.")
        parse_duration("budget", self.budget)

    @property
    def seconds(self) -> float:
        """The budget in seconds."""
        return parse_duration("budget", self.budget)


def parse_duration(name: str, text: str) -> float:
    """Seconds of "90s", "10m" or "2h".

    Args:
        name: of the option, for the error.
        text: as given.

    Raises:
        ConfigError: if it is none of these.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise ConfigError(f"{name} was {shown(text)}; give a time above 0 with its unit, such as 90s, 10m or 2h.")
    return float(match[1]) * UNITS[match[2]]
