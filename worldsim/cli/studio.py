"""`worldsim studio collect`, `captions` and `words`: what a world that takes words is trained on."""

from __future__ import annotations

from typing import Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.studio.data_config import CaptionsConfig, StudioCollectConfig, WordsConfig


def collect(config: Annotated[StudioCollectConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Records the studio's data; the same command again resumes."""
    from worldsim.envs.games import find_game
    from worldsim.studio.collect import record_studio

    figures = record_studio(
        find_game(config.game),
        config.out,
        frames=config.frames,
        eval_frames=config.eval_frames,
        processes=config.processes,
        seed=config.seed,
    )
    _report(figures)
    output.write(figures)


def captions(config: Annotated[CaptionsConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Writes captions, from the game's own state."""
    from worldsim.studio.captioning import caption_all, datasets_in

    figures = caption_all([root for folder in config.folders for root in datasets_in(folder)], seed=config.seed)
    _report(figures)
    output.write(figures)


def words(config: Annotated[WordsConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Makes word vectors with a sentence model."""
    from worldsim.studio.distil import distil
    from worldsim.studio.vocabulary import grammar_words

    made = distil(grammar_words(), common=config.common, channels=config.channels)
    made.save(config.out)
    print(f"{len(made)} words of {made.channels} numbers: {config.out}")
    output.write({"words": len(made), "channels": made.channels})


def _report(figures: dict[str, dict[str, int]]) -> None:
    for folder, counts in figures.items():
        print(f"{folder}: {', '.join(f'{value} {name}' for name, value in counts.items())}")
