"""`worldsim studio ...`: what a world that takes words is trained on, the gallery, and studies."""

from __future__ import annotations

from typing import Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.studio.data_config import CaptionsConfig, GalleryConfig, JudgeConfig, StudioCollectConfig, StudyConfig, WordsConfig
from worldsim.studio.origin_config import DetectorConfig, WatermarkConfig

DETECTOR, WATERMARK = DetectorConfig(), WatermarkConfig()


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
    """Writes captions."""
    from worldsim.studio.captioning import Reader, caption_all, datasets_in, game_scenes

    scenes: Reader = game_scenes
    if config.by == "pictures":
        from worldsim.studio.attributes import Judge
        from worldsim.studio.judging import picture_scenes

        scenes = picture_scenes(Judge.load())
    roots = [root for folder in config.folders for root in datasets_in(folder)]
    figures = caption_all(roots, seed=config.seed, scenes=scenes)
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


def judge(config: Annotated[JudgeConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Trains and measures the judge of pictures."""
    from worldsim.studio.attributes import Judge
    from worldsim.studio.captioning import datasets_in
    from worldsim.studio.judging import format_measured, make_judge, measured

    held_out = datasets_in(config.held_out)
    if config.steps:
        figures = make_judge(datasets_in(config.data), held_out, config.out, steps=config.steps, seed=config.seed)
    else:
        figures = measured(Judge.load(config.out), held_out)
    print(format_measured(figures))
    output.write(figures)


def gallery(config: Annotated[GalleryConfig, FLAT]) -> None:
    """Makes the gallery."""
    from worldsim.studio.gallery import PAGE, make_gallery

    print(f"{len(make_gallery(config))} clips: {config.out / PAGE}")


def study(config: Annotated[StudyConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Trains and compares worlds; the same command again resumes."""
    from worldsim.presets import studio_study
    from worldsim.studio.study import format_study, run_study

    figures = run_study(studio_study(config.kind), config)
    print(format_study(figures))
    output.write(figures)


def detector(config: Annotated[DetectorConfig, FLAT] = DETECTOR, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Trains and measures the detector of dreams."""
    from worldsim.studio.detecting import format_measured, make_detector

    figures = make_detector(config)
    print(format_measured(figures))
    output.write(figures)


def watermark(config: Annotated[WatermarkConfig, FLAT] = WATERMARK, output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Measures the watermark."""
    from worldsim.studio.watermarking import format_measured, measure_watermark

    figures = measure_watermark(config)
    print(format_measured(figures))
    output.write(figures)


def _report(figures: dict[str, dict[str, int]]) -> None:
    for folder, counts in figures.items():
        print(f"{folder}: {', '.join(f'{value} {name}' for name, value in counts.items())}")
