from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data import Dataset, Recorder
from worldsim.data.info import GAP, contact_sheet, describe, format_description

from .moving_square import SPEC, info


def test_a_dataset_is_described(tmp_path: Path) -> None:
    still = np.zeros(SPEC.size, np.float32)
    pressed = still.copy()
    pressed[0] = 1
    with Recorder(tmp_path, info(state=("x",))) as recorder:
        for actions in ([pressed, pressed, still, pressed], [pressed, still]):
            recorder.begin(seed=1, capture="{}")
            for t, action in enumerate(actions):
                frame = np.full(recorder.info.frame_shape, 40 * t, np.uint8)
                recorder.append(frame, action, 0.0, False, False, np.array([float(t)]))
            recorder.end()
    data = Dataset(tmp_path)
    figures = describe(data)
    assert figures["length"] == [2, 3.0, 4] and figures["captured"] == figures["replayable"] == 2 and figures["dreamed"] == 0
    first, *others = data.spec.names
    assert figures["controls"][first] == {"held": 4 / 6, "begun": 3}, "a key held across an end is pressed anew"
    assert figures["unused"] == others and figures["cells"]["visited"] == 4
    assert figures["bytes"]["videos"] == sum(path.stat().st_size for path in tmp_path.rglob("*.mp4"))
    lines = format_description(figures)
    assert (
        f"never used: {', '.join(others)}" in lines and "episodes of 2 to 4 frames, median 3; 2 captured, 2 replayable" in lines
    )

    sheet = contact_sheet(data, rows=8, columns=4)
    height, width, _ = data.frame_shape
    assert sheet.shape == (2 * height + GAP, 4 * (width + GAP) - GAP, 3)
    assert np.abs(sheet[5, 3 * (width + GAP) + 5].astype(int) - 120).max() < 6 and (sheet[height] == 255).all()
    assert (sheet[-1, -1] == 255).all(), "an episode with fewer frames leaves room"
