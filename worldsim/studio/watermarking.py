"""Measures the watermark: what it survives, how far it changes frames, and how often it is found where there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.machine import describe_machine
from worldsim.provenance.watermark import BITS, GRID, SURE, embed, find
from worldsim.studio.captioning import datasets_in
from worldsim.studio.dreamed import SCALE, Pair, halved, make_pairs, through, write_and_read
from worldsim.studio.figures import psnr
from worldsim.studio.origin_config import WatermarkConfig
from worldsim.studio.pipeline import Studio
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table
from worldsim.world import world_hash

Way = Callable[[Frames, float, Path], Frames]


def measure_watermark(config: WatermarkConfig, progress: bool = True) -> dict[str, Any]:
    """Dreams clips, marks them, and looks for the marks; and looks for marks in clips without.

    Raises:
        DataError: if there is no data.
        WorldError: if there is no such world.
    """
    studio = Studio.from_pretrained(config.world, device=config.device)
    roots, folder = datasets_in(config.eval_data), studio.world.folder
    pairs = make_pairs(studio, roots, config.clips, config.seed + 1_000_000, progress)
    figures = {"marked": measure_marked(pairs, config.seed, progress), "unmarked": measure_unmarked(pairs, roots, config.frames)}
    about = {"world": studio.config.name, "hash": world_hash(folder) if folder else "", "bits": BITS, "grid": GRID, "sure": SURE}
    return {**about, **figures, "machine": describe_machine()}


def ways() -> dict[str, Way]:
    """What marked frames go through: frames and frames per second, and a folder for files -> frames."""

    def strip(frames: Frames, fps: float, folder: Path) -> Frames:
        return np.concatenate(list(frames), axis=1)[None].repeat(SCALE, 1).repeat(SCALE, 2)

    def written(how: str) -> Way:
        return lambda frames, fps, folder: through(frames, fps, how, folder)

    def twice(frames: Frames, fps: float, folder: Path) -> Frames:
        return write_and_read(through(frames, fps, "mp4, half size", folder), folder / "again.mp4", fps)

    return {
        "frames": written("frames"),
        ".png of all frames": strip,
        ".png, half size": lambda frames, fps, folder: halved(strip(frames, fps, folder)),
        ".mp4": written("mp4"),
        ".mp4, half size, .mp4": written("mp4, half size"),
        "the same, .mp4 once more": twice,
        ".gif": written("gif"),
    }


def measure_marked(pairs: Sequence[Pair], seed: int = 0, progress: bool = True) -> dict[str, Any]:
    """Marks each dreamed clip with 32 bits of its own, and reads them.

    Returns:
        "clips" and "frames", their numbers; "psnr", median and least over frames in dB; "bytes", of .mp4 files with it, divided
        by those without; "ways": for each of `ways` the share of "bits" read right, of clips with "all" right, and of those in
        which a mark is "found"; and of their first frames alone, "bits_of_one" and "found_in_one".
    """
    rng, noise, sizes = np.random.default_rng(seed), [], []
    read: dict[str, list[list[float]]] = {name: [] for name in ways()}
    for pair in tqdm(pairs, desc="marks", unit="clip", disable=not progress):
        payload = int(rng.integers(2**BITS))
        marked = np.stack([embed(frame, payload) for frame in pair.dreamed])
        noise += [psnr(one[None], other[None]) for one, other in zip(pair.dreamed, marked, strict=True)]
        with tempfile.TemporaryDirectory(prefix="worldsim-") as name:
            folder, weights = Path(name), []
            for number, frames in enumerate((marked, pair.dreamed)):
                write_and_read(frames, folder / f"{number}.mp4", pair.fps, SCALE)
                weights.append((folder / f"{number}.mp4").stat().st_size)
            sizes.append(weights)
            for way, go in ways().items():
                shown = go(marked, pair.fps, folder)
                found, one = find(shown), find(shown[:1])
                right, of_one = (BITS - (mark.payload ^ payload).bit_count() for mark in (found, one))
                row = [right / BITS, right == BITS, found.sure, of_one / BITS, one.sure]
                read[way].append([float(value) for value in row])
    names = ("bits", "all", "found", "bits_of_one", "found_in_one")
    table = {way: dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) for way, rows in read.items()}
    total = np.sum(sizes, axis=0)
    psnrs = {"median": float(np.median(noise)), "least": float(np.min(noise))}
    return {"clips": len(pairs), "frames": len(noise), "psnr": psnrs, "bytes": float(total[0] / total[1]), "ways": table}


def measure_unmarked(pairs: Sequence[Pair], roots: Sequence[Path], most: int) -> dict[str, Any]:
    """Looks for a mark where there is none.

    Args:
        pairs: whose dreamed clips are looked at, frame by frame, as clips and as film strips.
        roots: datasets of real recordings, of which so many frames are looked at, evenly spread, one by one.
        most: real frames, about.

    Returns:
        For "real frames", "dreamed frames", "dreamed clips" and "dreamed strips": "looked" at, "found" in so many, and
        the most of the known bits that were "agreeing".
    """
    dreamed = [pair.dreamed for pair in pairs]
    data = [Dataset(root) for root in roots]
    every = max(1, sum(dataset.total_frames for dataset in data) // most)
    real = (frame[None] for dataset in data for i in range(len(dataset)) for frame in dataset.frames(i)[::every])
    kinds = {
        "real frames": real,
        "dreamed frames": (frame[None] for clip in dreamed for frame in clip),
        "dreamed clips": iter(dreamed),
        "dreamed strips": (np.concatenate(list(clip), axis=1)[None] for clip in dreamed),
    }
    figures = {}
    for kind, looked in kinds.items():
        marks = [find(frames) for frames in looked]
        agreeing = max(mark.agreeing for mark in marks)
        figures[kind] = {"looked": len(marks), "found": sum(mark.sure for mark in marks), "agreeing": agreeing}
    return figures


def format_measured(figures: dict[str, Any]) -> str:
    """The figures of `measure_watermark` as text."""
    marked, names = figures["marked"], ("bits", "all", "found", "bits_of_one", "found_in_one")
    rows = [[way, *(f"{row[name]:.2%}" for name in names)] for way, row in marked["ways"].items()]
    titles = ["dreams went through", "bits right", "all 32 right", "found", "bits, 1st frame", "found, 1st frame"]
    nothing = [
        [kind, str(row["looked"]), str(row["found"]), f"{row['agreeing']} of {BITS}"] for kind, row in figures["unmarked"].items()
    ]
    noise = marked["psnr"]
    return "\n".join(
        [
            f"{marked['clips']} clips, {marked['frames']} frames; PSNR to the unmarked ones {noise['median']:.1f} dB, "
            f"at least {noise['least']:.1f}; .mp4 files {marked['bytes']:.2f} times as large",
            text_table(titles, rows),
            text_table(["without a mark", "looked at", "found", "most known bits right"], nothing),
        ]
    )
