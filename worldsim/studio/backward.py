"""Whether what a world puts before a clip could have led to it: judged by the world played forward, and by the game's physics.

A fireball that is seen was thrown by a monster: in the game one is mostly in view some frames before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data import Dataset
from worldsim.envs.games.studio import KINDS
from worldsim.studio import tasks
from worldsim.studio.attributes import Judge
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import interval, psnr, said
from worldsim.studio.pipeline import Studio
from worldsim.studio.scene import COLUMNS, LEAST_HEIGHT
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table

GIVEN, BEFORE, CHECKED = 6, 8, 4  # frames that are given, made before them, and compared when played forward again
THROWERS = ("imp", "cacodemon")


@dataclass(frozen=True)
class Past:
    """A held-out clip: `BEFORE` frames that are to be made, and `GIVEN` that are given, uint8 `(T, H, W, 3)`; its controls
    `(T, A)`; and whether a fireball is seen when the given frames begin.
    """

    frames: Frames
    controls: NDArray[np.float32]
    fireball: bool


def find_pasts(root: Path, count: int, seed: int) -> list[Past]:
    """So many held-out clips with a fireball in view, and as many without; fewer where there are none."""
    dataset, rng = Dataset(root, "eval"), np.random.default_rng(seed)
    names = list(dataset.info.state)
    columns = [names.index(name) for name in COLUMNS]
    found: dict[bool, list[Past]] = {True: [], False: []}
    for e in rng.permutation(len(dataset.episodes)):
        length = int(dataset.lengths[e])
        if length < BEFORE + GIVEN or min(map(len, found.values())) >= count:
            continue
        states = dataset.episode_rows(int(e)).states[:length, columns].reshape(length, -1, 4)
        flying = ((states[:, :, 0] == KINDS.index("fireball")) & (states[:, :, 3] >= LEAST_HEIGHT)).any(1)
        for fireball in (True, False):
            starts = np.flatnonzero(flying[BEFORE : length - GIVEN + 1] == fireball)
            if len(starts) and len(found[fireball]) < count:
                start = int(rng.choice(starts))
                clip = dataset.clips([int(e)], [start], BEFORE + GIVEN)
                assert clip.frames is not None
                found[fireball].append(Past(clip.frames[0], clip.controls[0], fireball))
    return found[True] + found[False]


def measure_backward(studio: Studio, judge: Judge, pasts: Sequence[Past], config: StudioEvalConfig) -> dict[str, Any]:
    """Makes what came before clips, then plays it forward again.

    Returns:
        `count`; `forward`: PSNR of the given frames as the world continues the frames that it made before them, and `real`, as
        it continues the recorded ones; and the share of the pasts in which the judge sees a monster that throws, where a
        fireball comes of it and where none does: `thrower`, `thrower_real`, `none`, `none_real`.
    """
    found: dict[str, list[float]] = {name: [] for name in ("forward", "real", "thrower", "thrower_real", "none", "none_real")}
    for i, past in enumerate(tqdm(pasts, desc="backward", unit="clip")):
        about = {"num_steps": config.num_steps, "guidance": 1.0, "seed": config.seed + i}
        canvas = tasks.extend(past.frames[BEFORE:], before=BEFORE)
        made = studio.render(canvas, controls=past.controls, **about).frames  # type: ignore[arg-type]
        for name, before in (("forward", made[:BEFORE]), ("real", past.frames[:BEFORE])):
            controls = past.controls[: BEFORE + CHECKED]
            on = studio.render(tasks.extend(before, after=CHECKED), controls=controls, **about).frames  # type: ignore[arg-type]
            found[name].append(psnr(on[BEFORE:], past.frames[BEFORE : BEFORE + CHECKED]))
        name = "thrower" if past.fireball else "none"
        found[name].append(_throws(judge, made[:BEFORE]))
        found[f"{name}_real"].append(_throws(judge, past.frames[:BEFORE]))
    return {"count": len(pasts), **{name: interval(values) for name, values in found.items()}}


def _throws(judge: Judge, frames: Frames) -> float:
    """1 if a monster that throws is seen in any frame, else 0."""
    judged = judge(frames[:, None])
    return float(any(judged.thing(t, KINDS.index(kind)) is not None for t in range(len(frames)) for kind in THROWERS))


def format_backward(figures: dict[str, Any]) -> str:
    """A table."""
    rows = [
        ("played forward again, dB", said(figures["forward"]), said(figures["real"])),
        ("a monster that throws, before a fireball", said(figures["thrower"]), said(figures["thrower_real"])),
        ("the same, where none comes", said(figures["none"]), said(figures["none_real"])),
    ]
    return text_table((f"what came before, {figures['count']} clips", "made", "recorded"), rows)
