"""`worldsim eval --studio`: how well a world does each task of the studio, beside what needs no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data import Dataset
from worldsim.data.images import save_png
from worldsim.errors import DataError
from worldsim.files import write_text
from worldsim.machine import describe_machine
from worldsim.studio import tasks
from worldsim.studio.acting import format_acting, measure_acting
from worldsim.studio.attributes import Judge
from worldsim.studio.backward import find_pasts, format_backward, measure_backward
from worldsim.studio.captioning import datasets_in
from worldsim.studio.captions import read_prompt
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import interval, psnr, said
from worldsim.studio.flight import format_flight, measure_flight
from worldsim.studio.following import Example, examples, format_following, measure_following
from worldsim.studio.pipeline import Studio
from worldsim.studio.revisits import format_revisits, measure_revisits
from worldsim.studio.seams import changes, crossfade, seam_ratio
from worldsim.studio.sizes import format_sizes, measure_sizes
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table
from worldsim.world import world_hash

SEAM_BAR = 1.3  # the largest change across a seam, as a multiple of the median change inside real clips
GIVEN = 8  # frames at each side that is given
PICTURED, EVERY = 6, 2  # clips on a sheet, and every so many of their frames


@dataclass(frozen=True)
class Held:
    """Held-out clips of the size in play.

    Attributes:
        clips: uint8 `(N, T, H, W, 3)`.
        controls: float32 `(N, T, A)` that produced each frame, in the world's units.
        usual: median change from a frame to the next, in grey levels.
    """

    clips: NDArray[np.uint8]
    controls: NDArray[np.float32]
    usual: float


def evaluate_studio(world: str, data: Path, out: Path, config: StudioEvalConfig, device: str = "auto") -> dict[str, Any]:
    """Measures a world; prints tables and writes contact sheets.

    Args:
        world: name, folder or Hub id.
        data: folder of held-out, captioned datasets, one for each size.
        out: folder of the sheets.
        config: how much is measured.
        device: where the world runs.

    Returns:
        All figures.

    Raises:
        DataError: if the data is not there.
    """
    studio = Studio.from_pretrained(world, device=device)
    name = f"{studio.config.width}x{studio.config.height}"
    held = read_held(data / name, config)
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"world": studio.config.name, "clips": len(held.clips), "machine": describe_machine()}
    if studio.world.folder is not None:
        figures["hash"] = world_hash(studio.world.folder)
    figures["joins"] = measure_joins(studio, held, config, out)
    print(format_joins(figures["joins"]), flush=True)
    judge, shown = Judge.load(), examples(datasets_in(data), config.prompts, config.seed)

    def make(prompt: str, frames: int, size: tuple[int, int], seed: int) -> Frames:
        about = {"num_steps": config.num_steps, "guidance": config.guidance, "seed": seed}
        return studio(prompt, frames=frames, size=size, **about).frames  # type: ignore[arg-type]

    figures["following"] = measure_following(make, judge, shown, seed=config.seed)
    print(format_following(figures["following"]), flush=True)
    pictured, size = [example.prompt for example in shown[:PICTURED]], (studio.config.width, studio.config.height)
    _sheet(out / "prompts.png", [make(prompt, GIVEN * 2, size, i) for i, prompt in enumerate(pictured)])
    write_text(out / "prompts.txt", "\n".join(pictured) + "\n")
    figures["edits"] = measure_edits(studio, held, judge, [e.prompt for e in shown], config, out)
    print(format_edits(figures["edits"]), flush=True)
    figures |= measure_understanding(studio, judge, shown, data / name, config, out)
    return figures


def measure_understanding(
    studio: Studio, judge: Judge, shown: Sequence[Example], root: Path, config: StudioEvalConfig, out: Path
) -> dict[str, Any]:
    """What the world knows of space, time and actions: turns away and back, pasts, its own play, and other sizes; each unless its
    count is 0.
    """
    figures: dict[str, Any] = {}
    if config.revisits:
        figures["revisits"], clips = measure_revisits(studio, judge, config)
        print(format_revisits(figures["revisits"]), flush=True)
        _sheet(out / "revisits.png", clips)
    if config.pasts:
        pasts = find_pasts(root, config.pasts, config.seed)
        figures["backward"] = measure_backward(studio, judge, pasts, config)
        print(format_backward(figures["backward"]), flush=True)
        figures["flight"] = measure_flight(studio, judge, pasts, config)
        print(format_flight(figures["flight"]), flush=True)
    if config.acts and studio.config.dynamics.policy_bins:
        figures["acting"] = measure_acting(studio, config)
        print(format_acting(figures["acting"]), flush=True)
    if config.sized and studio.config.dynamics.sized:
        figures["sizes"], clips = measure_sizes(studio, judge, shown, config)
        print(format_sizes(figures["sizes"], config.sized), flush=True)
        _sheet(out / "sizes.png", clips)
    return figures


def read_held(root: Path, config: StudioEvalConfig) -> Held:
    """Held-out clips, each from another episode while there are enough.

    Raises:
        DataError: if no episode is long enough.
    """
    dataset, length = Dataset(root, "eval"), config.frames + 2 * GIVEN
    long = np.flatnonzero(dataset.lengths >= length)
    if not len(long):
        raise DataError(f"no held-out episode in {root} is {length} frames long; record longer ones, or give fewer frames.")
    rng = np.random.default_rng(config.seed)
    chosen = np.resize(rng.permutation(long), config.clips)
    starts = [int(rng.integers(0, dataset.lengths[e] - length + 1)) for e in chosen]
    clips = dataset.clips(chosen, starts, length)
    assert clips.frames is not None
    usual = float(np.median(np.concatenate([changes(clip) for clip in clips.frames])))
    return Held(clips.frames, clips.controls, usual)


@dataclass(frozen=True)
class Join:
    """One way to join what is made to what is given, tried on a held-out clip and the next one.

    Attributes:
        canvas: clip, next clip, frames to make -> what is given.
        baseline: the same -> what needs no model: the last frame repeated, or a cross-fade.
        truth: whether the frames to make are those of the clip, under its controls.
    """

    canvas: Callable[[Frames, Frames, int], tasks.Canvas]
    baseline: Callable[[Frames, Frames, int], Frames]
    truth: bool


def _faded(first: Frames, second: Frames, n: int) -> Frames:
    return np.concatenate([first, crossfade(first[-1], second[0], n), second])


G = GIVEN
JOINS: dict[str, Join] = {
    "extend after": Join(
        lambda clip, other, n: tasks.extend(clip[:G], after=n),
        lambda clip, other, n: np.concatenate([clip[:G], np.repeat(clip[G - 1 : G], n, 0)]),
        True,
    ),
    "extend before": Join(
        lambda clip, other, n: tasks.extend(clip[n : n + G], before=n),
        lambda clip, other, n: np.concatenate([np.repeat(clip[n : n + 1], n, 0), clip[n : n + G]]),
        True,
    ),
    "connect, same clip": Join(
        lambda clip, other, n: tasks.connect(clip[:G], clip[G + n :], n),
        lambda clip, other, n: _faded(clip[:G], clip[G + n :], n),
        True,
    ),
    "connect, two clips": Join(
        lambda clip, other, n: tasks.connect(clip[:G], other[:G], n),
        lambda clip, other, n: _faded(clip[:G], other[:G], n),
        False,
    ),
    "loop": Join(
        lambda clip, other, n: tasks.loop(clip[:G], n),
        lambda clip, other, n: _faded(clip[:G], clip[: G // 2], n),
        False,
    ),
}


def measure_joins(studio: Studio, held: Held, config: StudioEvalConfig, out: Path) -> dict[str, Any]:
    """Extends, connects and loops held-out clips.

    Returns:
        By task: `seam`, the median over clips of the largest change across a seam as a multiple of the usual change inside
        real clips, with its 95% interval; the same for its baseline; `psnr` of the frames made, where the game knows them,
        beside that of the baseline; `seconds` per clip.
    """
    figures: dict[str, Any] = {}
    for task, join in JOINS.items():
        found: dict[str, list[float]] = {name: [] for name in ("seam", "baseline_seam", "psnr", "baseline_psnr", "seconds")}
        rows = []
        for i, clip in enumerate(tqdm(held.clips, desc=task, unit="clip")):
            given = clip, held.clips[(i + 1) % len(held.clips)], config.frames
            canvas, plain = join.canvas(*given), join.baseline(*given)
            controls = held.controls[i, : len(plain)] if join.truth else None
            begun = time.perf_counter()
            made = studio.render(canvas, controls=controls, num_steps=config.num_steps, guidance=1.0, seed=config.seed + i)
            found["seconds"].append(time.perf_counter() - begun)
            found["seam"].append(seam_ratio(made.frames, canvas.given, held.usual))
            found["baseline_seam"].append(seam_ratio(plain, canvas.given, held.usual))
            if join.truth:
                found["psnr"].append(psnr(made.frames, clip[: len(plain)], ~canvas.given))
                found["baseline_psnr"].append(psnr(plain, clip[: len(plain)], ~canvas.given))
            rows.append(made.frames)
        figures[task] = {name: interval(values) for name, values in found.items() if values}
        _sheet(out / f"{task.replace(', ', '-').replace(' ', '-')}.png", rows[:PICTURED])
    return figures


def measure_edits(
    studio: Studio, held: Held, judge: Judge, prompts: Sequence[str], config: StudioEvalConfig, out: Path
) -> dict[str, Any]:
    """Makes held-out clips anew under other prompts, from a little noise to much.

    Returns:
        By strength: `psnr` to the clip, which says how much of its structure is kept, and `moved`, the share of clips in which
        the judge sees the place that the new prompt names.
    """
    figures, rows = {}, []
    for strength in config.strengths:
        kept, moved = [], []
        for i, clip in enumerate(tqdm(held.clips[: config.edits], desc=f"edit {strength:g}", unit="clip")):
            prompt, part = prompts[i % len(prompts)], clip[: studio.window]
            result = studio.render(
                tasks.edit(part, strength), prompt, num_steps=config.num_steps, guidance=config.guidance, seed=config.seed + i
            )
            kept.append(psnr(result.frames, part))
            place = read_prompt(prompt).place
            if place is not None:
                moved.append(float(judge(result.frames[None]).scene(0).place == place))
            if i == 0:
                rows.append(result.frames)
        figures[f"{strength:g}"] = {"psnr": interval(kept), "moved": interval(moved)}
    _sheet(out / "edits.png", rows)
    return figures


def format_joins(figures: dict[str, Any]) -> str:
    """A table."""
    rows = []
    for task, found in figures.items():
        quality = [said(found[name]) if name in found else "-" for name in ("psnr", "baseline_psnr")]
        met = "met" if found["seam"]["value"] <= SEAM_BAR else "missed"
        rows.append((task, said(found["seam"]), met, said(found["baseline_seam"]), *quality, f"{found['seconds']['value']:.1f}"))
    titles = ("task", "seam", f"bar {SEAM_BAR}", "copy or cross-fade", "PSNR, dB", "copy or cross-fade", "s per clip")
    return text_table(titles, rows)


def format_edits(figures: dict[str, Any]) -> str:
    """A table."""
    rows = [(name, said(found["psnr"]), said(found["moved"])) for name, found in figures.items()]
    return text_table(("strength", "PSNR to the clip, dB", "place of the prompt seen"), rows)


def _sheet(path: Path, clips: Sequence[Frames]) -> None:
    """Clips below each other, every other frame from left to right."""
    rows = [np.concatenate(list(clip[::EVERY]), axis=1) for clip in clips]
    most = max((row.shape[1] for row in rows), default=0)
    if rows:
        save_png(path, np.concatenate([np.pad(row, ((0, 0), (0, most - row.shape[1]), (0, 0))) for row in rows]))
