from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from worldsim.envs.games.studio import CONTROLS
from worldsim.studio.acting import ACTIONS, format_acting, measure_acting
from worldsim.studio.captions import read_prompt
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.controls import parse_controls

OBEYS = {
    "forward": "w*23", "backward": "s*23", "left": "a*23", "right": "d*23", "dodge": "a*12,d*11", "turn left": "mouse:-9:0*23",
    "turn right": "mouse:9:0*23", "look around": "mouse:-9:0*11,mouse:9:0*12", "shoot": "space*23", "stand": ".*23",
}  # fmt: skip


class Actor:
    """A world that plays itself, and does what it is told or always the same."""

    world, config = SimpleNamespace(control_spec=CONTROLS), SimpleNamespace(width=48, height=32, num_steps=1)

    def __init__(self, obeys: bool) -> None:
        self.obeys = obeys

    def __call__(self, prompt: str, *, frames: int, **_: object) -> SimpleNamespace:
        action = next(name for name, text in ACTIONS.items() if prompt.startswith(f"{text} in")) if self.obeys else "stand"
        held = CONTROLS.to_vectors(parse_controls(CONTROLS, f".,{OBEYS[action]}", frames), frames)
        return SimpleNamespace(controls=np.asarray(held, np.float32))


def test_a_world_that_does_what_it_is_told_is_told_from_one_that_stands() -> None:
    good = measure_acting(Actor(True), StudioEvalConfig(acts=20))  # type: ignore[arg-type]
    assert good["done"]["value"] == 1 and good["other"]["value"] == 0 and set(good["actions"].values()) == {1.0}
    bad = measure_acting(Actor(False), StudioEvalConfig(acts=20))  # type: ignore[arg-type]
    assert bad["done"]["value"] == 0.1 and bad["actions"]["stand"] == 1
    assert "look around" in format_acting(bad)


def test_prompts_say_what_is_asked_for() -> None:
    for action, text in ACTIONS.items():
        assert action in read_prompt(text).doing, text
