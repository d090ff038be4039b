"""`worldsim play`, `record` and `generate`: worlds to look at."""

from __future__ import annotations

import sys
from typing import Annotated

from worldsim.cli.app import main
from worldsim.cli.options import FLAT
from worldsim.player import PlayConfig
from worldsim.studio.config import GenerateConfig, RecordConfig

PLAY = PlayConfig()


def play(config: Annotated[PlayConfig, FLAT] = PLAY) -> None:
    """Opens a window."""
    from worldsim.player import play as open_window

    open_window(config)


def play_main() -> None:
    """Entry point of `worldsim-play` and play.py: `worldsim play` with the same options."""
    main(["play", *sys.argv[1:]])


def record(config: Annotated[RecordConfig, FLAT]) -> None:
    """Saves a clip of random play; Ctrl-C keeps the frames made so far."""
    from worldsim.studio.record import record as run

    print(run(config))


def generate(config: Annotated[GenerateConfig, FLAT]) -> None:
    """Saves a picture or a clip."""
    from worldsim.studio.generate import generate_clip

    print(generate_clip(config))
