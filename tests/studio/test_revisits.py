from __future__ import annotations

import numpy as np
import pytest

from worldsim.envs.games.studio import KINDS, SLOTS
from worldsim.studio import revisits
from worldsim.studio.attributes import AttributeNet, Judge
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.pipeline import Studio
from worldsim.studio.revisits import GIVEN, TURNS, Visit, format_revisits, in_view, measure_revisits, visits


def test_the_game_shows_the_same_place_again() -> None:
    pytest.importorskip("vizdoom")
    found = visits((48, 32), 5, 2, seed=0)
    assert len(found) == 2
    for turn in found:
        assert turn.frames.shape == (GIVEN + 10, 32, 48, 3) and len(turn.controls) == len(turn.frames)
        near = np.abs(turn.frames[-1].astype(int) - turn.frames[GIVEN - 1]).mean()
        far = np.abs(turn.frames[GIVEN + 4].astype(int) - turn.frames[GIVEN - 1]).mean()
        assert near < far / 2


def test_things_count_where_they_are_large_enough_and_not_cut_off() -> None:
    info = {f"object{slot}.{name}": -1.0 for slot in range(SLOTS) for name in ("kind", "x", "height")}
    info |= {"object0.kind": 0.0, "object0.x": 0.5, "object0.height": 0.3}
    info |= {"object1.kind": 1.0, "object1.x": 0.05, "object1.height": 0.3}
    info |= {"object2.kind": 2.0, "object2.x": 0.5, "object2.height": 0.01}
    assert in_view(info) == {KINDS[0]} and in_view(info, beside=-1.0) == {KINDS[0], KINDS[1]}


def test_a_world_is_compared_with_the_game(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def played(size: tuple[int, int], away: int, count: int, seed: int) -> list[Visit]:
        rng, frames = np.random.default_rng(seed), GIVEN + 2 * away
        shape = frames, size[1], size[0], 3
        controls = np.zeros((frames, studio.world.control_spec.size), np.float32)
        return [Visit(rng.integers(0, 255, shape, np.uint8), controls, (KINDS[i],)) for i in range(count)]

    monkeypatch.setattr(revisits, "visits", played)
    figures, sheets = measure_revisits(studio, Judge(AttributeNet()), StudioEvalConfig(revisits=2, num_steps=1))
    assert list(figures) == list(TURNS) and len(sheets) == 2 * 2 * len(TURNS)
    for found in figures.values():
        assert found["things"]["count"] == 2 and found["ceiling"]["value"] > 0
        assert found["loss"]["low"] <= found["loss"]["high"]
    assert "another turn" in format_revisits(figures)
