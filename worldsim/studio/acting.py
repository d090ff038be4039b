"""Whether a world that plays itself does what its prompt says."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import trange

from worldsim.files import text_table
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import interval, said
from worldsim.studio.pipeline import POLICY, Studio
from worldsim.studio.scene import told_actions

FRAMES = 24
DEEDS = {  # what is asked -> how
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
        prompt says; and the share `done` of each deed under `deeds`.
    """
    names, size = studio.world.control_spec.names, (studio.config.width, studio.config.height)
    deeds, does, steps = list(DEEDS), [], studio.config.num_steps
    for i in trange(config.acts, desc="acting", unit="clip"):
        prompt = f"{DEEDS[deeds[i % len(deeds)]]} in {PLACES[i // len(deeds) % len(PLACES)]}"
        about = {"frames": FRAMES, "size": size, "controls": POLICY, "num_steps": steps, "seed": config.seed + i}
        made = studio(prompt, **about)  # type: ignore[arg-type]
        does.append(told_actions(made.controls[1:], names))
    done = [float(deeds[i % len(deeds)] in done) for i, done in enumerate(does)]
    other = [float(deeds[(i + k) % len(deeds)] in done) for i, done in enumerate(does) for k in range(1, len(deeds))]
    by_deed = {deed: float(np.mean(done[k :: len(deeds)])) for k, deed in enumerate(deeds) if done[k :: len(deeds)]}
    return {"count": config.acts, "done": interval(done), "other": interval(other), "deeds": by_deed}


def format_acting(figures: dict[str, Any]) -> str:
    """A table."""
    rows = [("what the prompt says", said(figures["done"])), ("what another prompt says", said(figures["other"]))]
    rows += [(f"  {deed}", f"{share:.2f}") for deed, share in figures["deeds"].items()]
    return text_table((f"the world plays itself, {figures['count']} clips", "done"), rows)
