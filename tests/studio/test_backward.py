from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data import DatasetInfo, Recorder
from worldsim.envs.games.studio import CONTROLS, KINDS, STATES
from worldsim.studio.attributes import AttributeNet, Attributes, Judge
from worldsim.studio.backward import BEFORE, GIVEN, Past, find_pasts, format_backward, measure_backward
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.pipeline import Studio

from .test_attributes import judged


def test_pasts_end_where_a_fireball_flies_and_where_none_does(tmp_path: Path) -> None:
    """A fireball is seen in frames 20 to 29 of one of two episodes."""
    with Recorder(tmp_path / "data", DatasetInfo("doom/studio", CONTROLS, 16, 16, 8.75, 4, state=STATES)) as recorder:
        for seed in range(2):
            recorder.begin(seed=seed, split="eval")
            for t in range(40):
                named = {f"object{slot}.kind": -1.0 for slot in range(6)}
                if seed and 20 <= t < 30:
                    named |= {"object3.kind": float(KINDS.index("fireball")), "object3.height": 0.2}
                values = np.array([named.get(name, 0.0) for name in STATES], np.float32)
                recorder.append(np.full((16, 16, 3), 4 * t, np.uint8), np.zeros(CONTROLS.size), 0.0, False, False, values)
            recorder.end()
    pasts = find_pasts(tmp_path / "data", 4, seed=0)
    assert [past.fireball for past in pasts] == [True, False, False], "one of each kind from an episode at most"
    for past in pasts:
        assert past.frames.shape == (BEFORE + GIVEN, 16, 16, 3) and len(past.controls) == BEFORE + GIVEN
    assert 20 <= round(float(pasts[0].frames[BEFORE].mean()) / 4) < 30


class Thrower(Judge):
    """Sees an imp in every frame that is not black."""

    def __call__(self, frames) -> Attributes:
        seen = judged(len(frames))
        seen.seen[:] = 0
        seen.seen[frames.max(axis=(1, 2, 3, 4)) > 0, KINDS.index("imp")] = 1
        return seen


def test_pasts_are_judged_beside_the_recorded_ones(studio: Studio) -> None:
    rng, controls = np.random.default_rng(0), np.zeros((BEFORE + GIVEN, studio.world.control_spec.size), np.float32)
    bright = rng.integers(1, 255, (BEFORE + GIVEN, 32, 48, 3), np.uint8)
    pasts = [Past(bright, controls, True), Past(np.zeros_like(bright), controls, False)]
    figures = measure_backward(studio, Thrower(AttributeNet()), pasts, StudioEvalConfig(num_steps=1))
    assert figures["count"] == 2 and figures["thrower_real"]["value"] == 1 and figures["none_real"]["value"] == 0
    assert "played forward again" in format_backward(figures)
