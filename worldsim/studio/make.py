"""What the commands of the studio do: read what is given, make a clip with a progress bar, and write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from worldsim.errors import StudioError
from worldsim.files import read_text
from worldsim.studio import tasks
from worldsim.studio.clip import check_clip
from worldsim.studio.config import (
    AnimateConfig,
    ConnectConfig,
    EditConfig,
    ExtendConfig,
    GenerateConfig,
    ImageConfig,
    LoopConfig,
    MakeOptions,
    parse_size,
)
from worldsim.studio.pictures import read_clip, read_picture, sized
from worldsim.studio.pipeline import OVERLAP, POLICY, Made, Studio
from worldsim.studio.tasks import Canvas
from worldsim.world import find_world, read_config

DRAFT_CALLS = 4  # times fewer in a draft
SHORT = 6  # words; a prompt with fewer is expanded
MOST_PROMPTS = 1000


def generate(config: GenerateConfig, options: MakeOptions) -> list[Path]:
    """Clips of what prompts say; returns their paths, all checked before the first one is made."""
    said = [config.text or options.prompt] if config.prompts is None else read_prompts(config.prompts)
    paths = [options.out]
    if config.prompts is not None:
        paths = [options.out.with_stem(f"{options.out.stem}-{i:03d}") for i in range(1, len(said) + 1)]
    with opened(options, config.size, None, config.frames) as (studio, size):
        for i, (text, path) in enumerate(zip(said, paths, strict=True)):
            one = replace(options, prompt=text, out=path, seed=options.seed + i)
            write(make(studio, tasks.blank(config.frames, size), one), one)
    return paths


def image(config: ImageConfig, options: MakeOptions) -> Path:
    """A picture of what a prompt says."""
    with opened(options, config.size, None, 1) as (studio, size):
        one = replace(options, prompt=config.text or options.prompt)
        return write(make(studio, tasks.blank(1, size), one), one)


def animate(config: AnimateConfig, options: MakeOptions) -> Path:
    """A clip that begins with a picture."""
    with opened(options, config.size, config.picture, config.frames) as (studio, size):
        picture = read_picture(config.picture, size, size, studio.config.tokenizer.factor)
        return write(make(studio, tasks.animate(picture, config.frames), options), options)


def extend(config: ExtendConfig, options: MakeOptions) -> Path:
    """A clip with more frames before and after."""
    with opened(options, config.size, config.clip, config.after + config.before) as (studio, size):
        clip = read_clip(config.clip, size, size, studio.config.tokenizer.factor)
        return write(make(studio, tasks.extend(clip, after=config.after, before=config.before), options), options)


def connect(config: ConnectConfig, options: MakeOptions) -> Path:
    """Two clips, and frames between them."""
    with opened(options, config.size, config.first, config.frames) as (studio, size):
        first, second = (read_clip(name, size, size, studio.config.tokenizer.factor) for name in (config.first, config.second))
        return write(make(studio, tasks.connect(first, second, config.frames), options), options)


def loop(config: LoopConfig, options: MakeOptions) -> Path:
    """A clip that ends where it begins."""
    with opened(options, config.size, config.clip, config.frames) as (studio, size):
        clip = read_clip(config.clip, size, size, studio.config.tokenizer.factor)
        made = make(studio, tasks.loop(clip, config.frames), options)
        frames, given = (tasks.closed(part, len(clip), config.frames) for part in (made.frames, made.given))
        return write(replace(made, frames=frames, given=given), options)


def edit(config: EditConfig, options: MakeOptions) -> Path:
    """A clip made anew, in its old structure."""
    with opened(options, config.size, config.clip, 1) as (studio, size):
        clip = read_clip(config.clip, size, size, studio.config.tokenizer.factor)
        return write(make(studio, tasks.edit(clip, config.strength), options), options)


@contextmanager
def opened(options: MakeOptions, size: str | None, source: str | None, frames: int) -> Iterator[tuple[Studio, tuple[int, int]]]:
    """Checks where the clip goes, then loads the world.

    Args:
        options: of the command.
        size: as given.
        source: picture or clip whose shape is the default.
        frames: of the clip, about.

    Yields:
        The studio, and `(width, height)` of the clip.
    """
    folder = find_world(options.world)
    config = read_config(folder)
    usual, factor = (config.width, config.height), config.tokenizer.factor
    wanted = parse_size(size)
    if wanted is None and source is not None:
        shape = read_picture(source, None, usual, factor).shape  # which is a size that the world makes
        wanted = shape[1], shape[0]
    wanted = sized(wanted or usual, factor)
    if options.draft:
        wanted = max(factor, wanted[0] // 2 // factor * factor), max(factor, wanted[1] // 2 // factor * factor)
    check_clip(options.out, (wanted[1], wanted[0]), frames, options.scale)
    yield Studio.from_pretrained(folder, device=options.device), wanted


def make(studio: Studio, canvas: Canvas, options: MakeOptions) -> Made:
    """Fills in a canvas under a progress bar; says what became of a short prompt."""
    prompt = options.prompt
    if options.expand and 0 < len(prompt.split()) < SHORT and studio.world.words is not None:
        from worldsim.studio.captions import expand

        prompt = expand(prompt, options.seed, words=studio.world.words)
        print(f"prompt: {prompt}")
    num_steps = max(1, options.num_steps // DRAFT_CALLS) if options.draft else options.num_steps
    window = studio.window
    calls = num_steps * len(tasks.windows(canvas.given, window, min(OVERLAP, window // 2)))
    if options.controls == POLICY:
        calls = int((~canvas.given).sum())
    with tqdm(total=calls, desc=options.out.name, unit="call", leave=False, delay=0.5) as bar:
        return studio.render(
            canvas,
            prompt,
            controls=options.controls,
            num_steps=num_steps,
            guidance=options.guidance,
            seed=options.seed,
            tick=lambda: bar.update(1),
        )


def write(made: Made, options: MakeOptions) -> Path:
    """Writes a clip, and the sheet beside it if one is wanted."""
    path = made.save(options.out, options.scale, options.marks)
    if options.sheet:
        made.save(path.with_name(f"{path.stem}-sheet.png"), max(1, options.scale // 2), options.marks)
    return path


def read_prompts(path: Path) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        StudioError: if there is none, or too many.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not 1 <= len(lines) <= MOST_PROMPTS:
        raise StudioError(f"{path} holds {len(lines)} prompts; give 1 to {MOST_PROMPTS}, one in every line.")
    return lines
