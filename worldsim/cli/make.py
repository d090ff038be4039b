"""`worldsim generate`, `image`, `animate`, `extend`, `connect`, `loop` and `edit`: the tasks of the studio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from worldsim.cli.options import FLAT
from worldsim.studio.config import (
    AnimateConfig,
    ConnectConfig,
    EditConfig,
    ExtendConfig,
    GenerateConfig,
    ImageConfig,
    LoopConfig,
    MakeOptions,
)

OPTIONS = MakeOptions()
GENERATE, IMAGE = GenerateConfig(), ImageConfig()


def generate(config: Annotated[GenerateConfig, FLAT] = GENERATE, options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves clips of prompts."""
    from worldsim.studio.make import generate as run

    print("\n".join(map(str, run(config, options))))


def image(config: Annotated[ImageConfig, FLAT] = IMAGE, options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves a picture."""
    from worldsim.studio.make import image as run

    print(run(config, replace(options, out=Path("image.png")) if options.out == OPTIONS.out else options))


def animate(config: Annotated[AnimateConfig, FLAT], options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves a clip that begins with a picture."""
    from worldsim.studio.make import animate as run

    print(run(config, options))


def extend(config: Annotated[ExtendConfig, FLAT], options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves a longer clip."""
    from worldsim.studio.make import extend as run

    print(run(config, options))


def connect(config: Annotated[ConnectConfig, FLAT], options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves two clips joined."""
    from worldsim.studio.make import connect as run

    print(run(config, options))


def loop(config: Annotated[LoopConfig, FLAT], options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves a clip without an end."""
    from worldsim.studio.make import loop as run

    print(run(config, options))


def edit(config: Annotated[EditConfig, FLAT], options: Annotated[MakeOptions, FLAT] = OPTIONS) -> None:
    """Saves a clip made anew."""
    from worldsim.studio.make import edit as run

    print(run(config, options))
