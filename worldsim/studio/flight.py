"""Whether fireballs fly on: seen by the judge in frames that a world adds, where they are in the game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from worldsim.envs.games.studio import KINDS
from worldsim.studio import tasks
from worldsim.studio.attributes import Judge
from worldsim.studio.backward import BEFORE, Past
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import interval, said
from worldsim.studio.pipeline import Studio
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table

GIVEN = BEFORE + 2  # frames that are given; the fireball is seen from the last but one on
ROWS = ("game", "world", "copied")
FIREBALL = KINDS.index("fireball")


def measure_flight(studio: Studio, judge: Judge, pasts: Sequence[Past], config: StudioEvalConfig) -> dict[str, Any]:
    """Extends clips with a fireball in view, under the recorded controls.

    Returns:
        `frames`, how many were added in all. Under `seen`, for each of `ROWS` (the game's frames, the world's, and copies of the
        last given one) the share of frames in which the judge sees a fireball; and under `apart`, how far that of the world and
        that of the copies is from the game's, as a share of the width, in frames where both are seen.
    """
    flights = [past for past in pasts if past.fireball]
    seen: dict[str, list[float]] = {row: [] for row in ROWS}
    apart: dict[str, list[float]] = {row: [] for row in ROWS[1:]}
    for i, past in enumerate(tqdm(flights, desc="flight", unit="clip")):
        given, after = past.frames[:GIVEN], len(past.frames) - GIVEN
        about: dict[str, Any] = {
            "controls": past.controls,
            "num_steps": config.num_steps,
            "guidance": 1.0,
            "seed": config.seed + i,
        }
        made = studio.render(tasks.extend(given, after=after), **about).frames
        places = {
            "game": fireballs(judge, past.frames[GIVEN:]),
            "world": fireballs(judge, made[GIVEN:]),
            "copied": fireballs(judge, np.repeat(given[-1:], after, axis=0)),
        }
        for row, found in places.items():
            seen[row] += [float(x is not None) for x in found]
        for row, values in apart.items():
            pairs = zip(places[row], places["game"], strict=True)
            values += [abs(x - y) for x, y in pairs if x is not None and y is not None]
    return {
        "frames": len(seen["game"]),
        "seen": {row: interval(values) for row, values in seen.items()},
        "apart": {row: interval(values) for row, values in apart.items()},
    }


def fireballs(judge: Judge, frames: Frames) -> list[float | None]:
    """Where the judge sees a fireball in each frame `(T, H, W, 3)`, as a share of the width; None where it sees none."""
    judged = judge(frames[:, None])
    return [float(judged.where[t, FIREBALL]) if judged.thing(t, FIREBALL) is not None else None for t in range(len(frames))]


def format_flight(figures: dict[str, Any]) -> str:
    """A table."""
    rows = [
        ("a fireball is seen", *(said(figures["seen"][row]) for row in ROWS)),
        ("away from the game's, share of the width", "-", *(said(figures["apart"][row]) for row in ROWS[1:])),
    ]
    return text_table((f"fireballs fly on, {figures['frames']} frames", "game", "world", "last frame copied"), rows)
