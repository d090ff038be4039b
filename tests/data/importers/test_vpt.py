from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_minerl import NEW, ask, needs_new

from worldsim.data import Dataset
from worldsim.data.importers.config import VptConfig
from worldsim.data.importers.vpt import import_vpt
from worldsim.envs.games.minerl import HUMAN, MineRLActions
from worldsim.errors import DataError

from ..shift import check_shift
from .vpt_recordings import MOTION, SPEC, controls, save, step


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
    for line in lines[3:]:  # what was pressed at line 2 shows in line 3
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
        (good.replace('"keyboard"', '"keyboards"', 1), r"line 1: .*keyboard"),
        (good.replace('"dx": ', '"dx": "x', 1).replace('"dx": "x', '"dx": "x", "n": ', 1), r"line 1: "),
        ("[]\n" * 4, r"line 1: "),
    ):
        table.write_text(wrong)
        with pytest.raises(DataError, match=message):
            import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)
    table.unlink()
    with pytest.raises(DataError, match=r"one\.jsonl cannot be read"):
        import_vpt(VptConfig(tmp_path / "in", tmp_path / "out"), progress=False)


@needs_new
def test_vpt_recordings_are_read_as_minerl_reads_them(tmp_path: Path) -> None:
    vectors = controls(60)
    steps = [step(vector, hotbar=(t // 7) % 9) for t, vector in enumerate(vectors)]
    save(tmp_path / "in", "one", vectors, steps)
    import_vpt(VptConfig(tmp_path / "in", tmp_path / "out", mouse_limit=180.0), progress=False)
    dataset, actions = Dataset(tmp_path / "out"), MineRLActions()
    theirs = ask(NEW, "vpt", tmp_path / "in/one.jsonl")
    assert len(theirs) == dataset.total_frames == 60
    for vector, action in zip(dataset.rows.actions, theirs, strict=True):
        ours = actions.to_action(dataset.spec.from_vector(vector))
        assert {name: ours[name] for name in HUMAN} == {name: action[name] for name in HUMAN}
        np.testing.assert_allclose(ours["camera"], action["camera"], atol=1e-5)
