from __future__ import annotations

import numpy as np

from worldsim.envs.games.studio import KINDS
from worldsim.studio.attributes import AttributeNet, Attributes, Judge
from worldsim.studio.backward import BEFORE, Past
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.flight import GIVEN, fireballs, format_flight, measure_flight
from worldsim.studio.pipeline import Studio

from .test_attributes import judged


class Sharp(Judge):
    """Sees a fireball in the brightest column of every frame with a white pixel."""

    def __call__(self, frames) -> Attributes:
        seen, k = judged(len(frames)), KINDS.index("fireball")
        columns = frames.max(axis=(1, 2, 4))
        seen.seen[:, k] = (columns.max(axis=1) == 255).astype(np.float32)
        seen.where[:, k] = columns.argmax(axis=1) / columns.shape[1]
        return seen


def test_a_fireball_that_flies_on_is_told_from_one_that_stands(studio: Studio) -> None:
    frames = np.zeros((GIVEN + 4, 32, 48, 3), np.uint8)
    for t in range(len(frames)):
        frames[t, 16, 3 * t] = 255
    judge = Sharp(AttributeNet())
    assert fireballs(judge, frames)[:2] == [0.0, 3 / 48] and fireballs(judge, np.zeros_like(frames)) == [None] * len(frames)
    pasts = [
        Past(frames, np.zeros((len(frames), studio.world.control_spec.size), np.float32), fireball) for fireball in (True, False)
    ]
    figures = measure_flight(studio, judge, pasts, StudioEvalConfig(num_steps=1))
    assert figures["frames"] == 4 and BEFORE < GIVEN
    assert figures["seen"]["game"]["value"] == figures["seen"]["copied"]["value"] == 1
    assert figures["apart"]["copied"]["value"] == np.median([3 * n / 48 for n in (1, 2, 3, 4)])
    assert "fireballs fly on" in format_flight(figures)
