"""Whether a world that plays itself does what its prompt says."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import trange

from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import interval, said
from worldsim.studio.pipeline import POLICY, Studio
from worldsim.studio.scene import told_actions
from worldsim.tables import text_table

FRAMES = 24
ACTIONS = {  # what is asked -> how
    "forward": "the player walks forward",
    "backward": "the player walks backward",
    "left": "the player strafes left",
    "right": "the player strafes right",
    "dodge": "the player strafes left and right and dodges",
    "turn left": "the player turns left",
    "turn right": "the player turns right",
    "look around": "the player looks around",
    "shoot": "the player shoots",
    "stand": "the player stands still",
}
PLACES = ("a tan brick hall", "a round arena", "a dark maze", "a green field", "a grey base", "a brown corridor")


def measure_acting(studio: Studio, config: StudioEvalConfig) -> dict[str, Any]:
    """Clips in which the world plays itself, each under a prompt that says what the player does.

    Returns:
        `count`; `done`, the share of clips whose controls do what the prompt says; `other`, the share that do what another
        prompt says; and the share `done` of each action under `actions`.
    """
    names, size = studio.world.control_spec.names, (studio.config.width, studio.config.height)
    actions, does, steps = list(ACTIONS), [], studio.config.num_steps
    for i in trange(config.acts, desc="acting", unit="clip"):
        prompt = f"{ACTIONS[actions[i % len(actions)]]} in {PLACES[i // len(actions) % len(PLACES)]}"
        about = {"frames": FRAMES, "size": size, "controls": POLICY, "num_steps": steps, "seed": config.seed + i}
        made = studio(prompt, **about)  # type: ignore[arg-type]
        does.append(told_actions(made.controls[1:], names))
    done = [float(actions[i % len(actions)] in done) for i, done in enumerate(does)]
    other = [float(actions[(i + k) % len(actions)] in done) for i, done in enumerate(does) for k in range(1, len(actions))]
    by_action = {action: float(np.mean(done[k :: len(actions)])) for k, action in enumerate(actions) if done[k :: len(actions)]}
    return {"count": config.acts, "done": interval(done), "other": interval(other), "actions": by_action}


def format_acting(figures: dict[str, Any]) -> str:
    """A table."""
    rows = [("what the prompt says", said(figures["done"])), ("what another prompt says", said(figures["other"]))]
    rows += [(f"  {action}", f"{share:.2f}") for action, share in figures["actions"].items()]
    return text_table((f"the world plays itself, {figures['count']} clips", "done"), rows)
