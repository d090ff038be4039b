"""How a world does at picture sizes that it was trained on, and at others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from worldsim.studio.attributes import Judge, join
from worldsim.studio.collect import SIZES
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import said
from worldsim.studio.following import Example, intervals
from worldsim.studio.pipeline import MOST_TOKENS, Studio
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table

OTHERS = ((64, 64), (128, 64), (64, 128), (128, 96), (192, 128))  # never trained on


def measure_sizes(
    studio: Studio, judge: Judge, held_out: Sequence[Example], config: StudioEvalConfig
) -> tuple[dict[str, Any], list[Frames]]:
    """Clips of the same prompts at each size.

    Returns:
        By size, such as "96x64": `trained`, `tokens` a frame, and `place` and `things`, the shares told right by the judge, which
        says how often the subject is in the picture; then a clip of each size.
    """
    figures, clips = {}, []
    for size in (*SIZES, *OTHERS):
        name, chosen = f"{size[0]}x{size[1]}", held_out[: config.sized]
        judged = []
        for i, example in enumerate(tqdm(chosen, desc=name, unit="clip")):
            about = {"num_steps": config.num_steps, "guidance": config.guidance, "seed": config.seed + i}
            made = studio(example.prompt, frames=len(example.frames), size=size, **about).frames  # type: ignore[arg-type]
            judged.append(judge(made[None]))
            clips += [made] if not i else []
        told = intervals([example.told for example in chosen], join(judged), config.seed)
        rows, columns = studio.config.tokenizer.grid(size[1], size[0])
        figures[name] = {"trained": size in SIZES, "tokens": rows * columns, "place": told["place"], "things": told["things"]}
    return figures, clips


def format_sizes(figures: dict[str, Any], count: int) -> str:
    """A table."""
    rows = [
        (name, "yes" if found["trained"] else "no", str(found["tokens"]), said(found["place"]), said(found["things"]))
        for name, found in figures.items()
    ]
    title = f"size, {count} clips each"
    return (
        f"{text_table((title, 'trained on', 'tokens', 'place', 'things'), rows)}\nlargest: {MOST_TOKENS} tokens of 16x16 pixels"
    )
