from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.data.importers.config import VptConfig
from worldsim.data.importers.vpt import BUTTONS, DEGREES, KEYS, import_vpt, vpt_spec
from worldsim.errors import DataError

from ..shift import check_shift, frames_after, save_video

SPEC = vpt_spec(18.0)
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


def test_a_recording_becomes_an_episode(tmp_path: Path) -> None:
    vectors = controls(40)
    save(tmp_path / "in", "cheeky-cornflower", vectors)
    done = import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    dataset = check_shift(tmp_path / "out", SPEC)
    assert done.frames == 40 and dataset.spec == SPEC and dataset.info.game == "minerl/vpt" and dataset.fps == 20
    np.testing.assert_allclose(dataset.rows.actions, vectors, atol=1e-5)
    assert dataset.episodes[0].policy == "human"


def test_mouse_pixels_are_0_15_degrees_right_and_down(tmp_path: Path) -> None:
    lines = [step(np.zeros(SPEC.size)) for _ in range(3)]
    lines[1]["mouse"].update(dx=10.0, dy=-4.0)
    save(tmp_path / "in", "one", np.zeros((3, SPEC.size), np.float32), lines)
    import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    motion = Dataset(tmp_path / "out").rows.actions[:, MOTION]
    np.testing.assert_allclose(motion, np.array([[0, 0], [1.5, -0.6], [0, 0]]), atol=1e-6)


def test_a_stuck_attack_is_not_held_and_the_wheel_presses_a_number(tmp_path: Path) -> None:
    lines = [step(np.zeros(SPEC.size)) for _ in range(5)]
    for line in lines:
        line["mouse"]["buttons"] = [0, 1]
    lines[0]["mouse"]["newButtons"] = [0]
    lines[3]["mouse"]["newButtons"] = [0]
    for line in lines[2:]:
        line["hotbar"] = 4
    lines[1]["keyboard"]["keys"] = ["key.keyboard.w", "key.keyboard.f3"]  # the second is no control
    save(tmp_path / "in", "one", np.zeros((5, SPEC.size), np.float32), lines)
    import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    held = [SPEC.from_vector(row) for row in Dataset(tmp_path / "out").rows.actions]
    assert [sorted(controls.buttons) for controls in held] == [["right"]] * 3 + [["left", "right"]] * 2
    assert [sorted(controls.keys) for controls in held] == [[], ["w"], ["5"], [], []]


def test_damaged_recordings_are_named(tmp_path: Path) -> None:
    vectors = controls(4)
    save(tmp_path / "in", "one", vectors)
    table = tmp_path / "in/one.jsonl"
    good = table.read_text()
    for wrong, message in (
        (good[:-30], r"line 4 is not JSON"),
        (good.replace('"hotbar": 0', '"hotbars": 0', 1), r"line 1: .*hotbar"),
        (good.replace('"dx": ', '"dx": "x', 1).replace('"dx": "x', '"dx": "x", "n": ', 1), r"line 1: "),
        ("[]\n" * 4, r"line 1: "),
    ):
        table.write_text(wrong)
        with pytest.raises(DataError, match=message):
            import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    table.unlink()
    with pytest.raises(DataError, match=r"one\.jsonl cannot be read"):
        import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)
