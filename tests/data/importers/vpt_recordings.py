"""Recordings in the format of OpenAI's VPT, as github.com/openai/Video-Pre-Training documents it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.data.importers.vpt import BUTTONS, KEYS
from worldsim.envs.games.minerl import DEGREES_PER_PIXEL as DEGREES
from worldsim.envs.games.minerl import MineRLActions

from ..shift import frames_after, save_video

SPEC = MineRLActions(mouse_limit=18.0).control_spec
MOTION = slice(len(SPEC.keys), len(SPEC.keys) + 2)


def step(vector: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A line of VPT's, with all its fields."""
    names = {ours: theirs for theirs, ours in KEYS.items()}
    numbers = {ours: theirs for theirs, ours in BUTTONS.items()}
    keys, mouse, buttons = SPEC.split(vector)
    held = [names[name] for name, value in zip(SPEC.keys, keys, strict=True) if value]
    pressed = [numbers[name] for name, value in zip(SPEC.buttons, buttons, strict=True) if value]
    dx, dy = (mouse / DEGREES).round().tolist()
    where = {"x": 640.0, "y": 360.0, "dx": dx, "dy": dy, "scaledX": 0.0, "scaledY": 0.0, "dwheel": 0.0}
    return {
        "mouse": {**where, "buttons": pressed, "newButtons": []},
        "keyboard": {"keys": held, "newKeys": [], "chars": ""},
        "isGuiOpen": False, "isGuiInventory": False, "hotbar": 0, "yaw": 0.0, "pitch": 0.0, "xpos": 1.5, "ypos": 70.0,
        "zpos": -3.5, "tick": 1, "milli": 1, "inventory": [], "serverTick": 1, "serverTickDurationMs": 5.0, "stats": {},
        **changes,
    }  # fmt: skip


def controls(steps: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(2, size=(steps, SPEC.size)).astype(np.float32)
    vectors[:, MOTION] = rng.integers(-100, 101, size=(steps, 2)) * DEGREES
    return vectors


def save(folder: Path, name: str, vectors: np.ndarray, steps: list[dict[str, Any]] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    save_video(folder / f"{name}.mp4", frames_after(vectors, SPEC))
    lines = [json.dumps(one) for one in steps or [step(vector) for vector in vectors]]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
