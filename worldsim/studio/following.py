"""How well a world follows prompts: clips of held-out prompts, judged as real clips are, beside shuffled prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.errors import DataError
from worldsim.studio.attributes import Attributes, Judge, agreement, join
from worldsim.studio.captioning import SEGMENT, Captions, game_scenes, segments
from worldsim.studio.captions import read_prompt
from worldsim.studio.scene import Scene
from worldsim.tables import text_table

LEVEL = 2  # of detail of the prompts
RESAMPLES = 500
ROWS = ("place", "things", "sides", "weapon", "absent")
BARS = {"place": 0.85, "things": 0.7}  # share of the figure of real clips that generated ones must reach
ABOVE = 0.3  # and by so much they must exceed that under shuffled prompts

Make = Callable[[str, int, tuple[int, int], int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Example:
    """A held-out clip and a prompt that is true of it.

    Attributes:
        prompt: one of its captions.
        told: what the prompt tells of it.
        frames: uint8 `(T, H, W, 3)`.
    """

    prompt: str
    told: Scene
    frames: NDArray[np.uint8]


def examples(roots: Sequence[Path], count: int, seed: int = 0) -> list[Example]:
    """Held-out clips with captions, as evenly from all places as there are; those in which something is seen come first.

    Raises:
        DataError: if a dataset has no captions or no state, or none has a clip that is long enough.
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[str, bool, Dataset, int, int, Scene, str]] = []
    for root in roots:
        dataset, captions = Dataset(root), Captions(root)
        for i, episode in enumerate(dataset.episodes):
            for (start, stop), scene in zip(segments(episode.length), game_scenes(dataset, i), strict=True):
                if stop - start >= SEGMENT:
                    text = captions.at(episode.index, start, rng, LEVEL)
                    told = restrict(scene, read_prompt(text))
                    found.append((scene.place or "", not told.things, dataset, i, start, told, text))
    if not found:
        raise DataError(f"no clip of {SEGMENT} frames in {', '.join(map(str, roots))}; record longer episodes.")
    order = [found[i] for i in rng.permutation(len(found))]
    order.sort(key=lambda row: row[1])  # stable: at random among those with things, and among those without
    places = list(dict.fromkeys(row[0] for row in order))
    ranked = sorted(range(len(order)), key=lambda i: (sum(row[0] == order[i][0] for row in order[:i]), places.index(order[i][0])))
    return [
        Example(text, told, dataset.frames(i, start, start + SEGMENT))
        for _, _, dataset, i, start, told, text in (order[i] for i in ranked[:count])
    ]


def restrict(scene: Scene, said: Scene) -> Scene:
    """What of a scene a prompt tells: its place always, a thing or a weapon where it speaks of them."""
    kinds = {thing.kind for thing in said.things}
    things = tuple(thing for thing in scene.things if thing.kind in kinds)
    return replace(scene, things=things, weapon=scene.weapon if said.weapon is not None else None)


def measure_following(
    make: Make, judge: Judge, held_out: Sequence[Example], *, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Judges clips that are made of the prompts of held-out clips.

    Args:
        make: makes a clip, uint8 `(T, H, W, 3)`, of a prompt, a number of frames, a size (width, height) and a seed.
        judge: of pictures.
        held_out: see `examples`.
        seed: of the clips, and of how prompts are shuffled.
        progress: show a progress bar.

    Returns:
        "clips"; for each of `ROWS` under "real" (the held-out clips), "generated" and "shuffled" (generated clips against the
        prompt of another): value, low and high, a 95% interval over clips; "bars": for each of `BARS` whether it is reached.
    """
    told = [example.told for example in held_out]
    real = join([judge(example.frames[None]) for example in held_out])
    clips = []
    for i, example in enumerate(tqdm(held_out, unit="clip", desc="prompts", disable=not progress)):
        height, width = example.frames.shape[1:3]
        clips.append(judge(make(example.prompt, len(example.frames), (width, height), seed + i)[None]))
    made = join(clips)
    order = _deranged(len(told), np.random.default_rng(seed))
    figures: dict[str, Any] = {
        "clips": len(told),
        "real": intervals(told, real, seed),
        "generated": intervals(told, made, seed),
        "shuffled": intervals([told[i] for i in order], made, seed),
    }
    value = {kind: {name: figures[kind][name]["value"] for name in BARS} for kind in ("real", "generated", "shuffled")}
    figures["bars"] = {
        name: bool(
            value["generated"][name] >= share * value["real"][name]
            and value["generated"][name] >= value["shuffled"][name] + ABOVE
        )
        for name, share in BARS.items()
    }
    return figures


def intervals(wanted: Sequence[Scene], judged: Attributes, seed: int = 0) -> dict[str, dict[str, float]]:
    """`agreement` with 95% intervals, by drawing clips with replacement."""
    rng = np.random.default_rng(seed)
    value = agreement(wanted, judged)
    draws = [
        agreement([wanted[i] for i in chosen], judged.take(chosen))
        for chosen in rng.integers(len(wanted), size=(RESAMPLES, len(wanted)))
    ]
    result = {}
    for name in ROWS:
        seen = np.array([draw[name] for draw in draws])
        seen = seen[~np.isnan(seen)]
        low, high = np.quantile(seen, [0.025, 0.975]) if len(seen) else (float("nan"), float("nan"))
        result[name] = {"value": value[name], "low": float(low), "high": float(high)}
    return result


def format_following(figures: dict[str, Any]) -> str:
    """The figures of `measure_following` as text."""
    kinds = ("real", "generated", "shuffled")
    rows = [[name, *("{value:.0%} ({low:.0%} to {high:.0%})".format(**figures[kind][name]) for kind in kinds)] for name in ROWS]
    bars = ", ".join(f"{name} {'reached' if held else 'missed'}" for name, held in figures["bars"].items())
    return f"prompts followed, {figures['clips']} clips\n{text_table(['told right', *kinds], rows)}\nbars: {bars}"


def _deranged(count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """An order in which nothing stays in its place; that of one thing is its own."""
    around = rng.permutation(count)
    order = np.empty(count, np.intp)
    order[around] = np.roll(around, 1)
    return order
