from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.data.exporters.clip import export_clip
from worldsim.data.exporters.config import ExportConfig
from worldsim.data.exporters.overlay import Overlay
from worldsim.errors import WorldsimError

from ..shift import FPS, HEIGHT, SPEC, WIDTH, controls, frames_after, seen

SCALE = 4


@pytest.fixture
def recorded(tmp_path: Path) -> Dataset:
    vectors = controls(30)
    with Recorder(tmp_path / "recorded", DatasetInfo("my/game", SPEC, HEIGHT, WIDTH, FPS, lossless=True)) as recorder:
        recorder.begin()
        for frame, vector in zip(frames_after(vectors), vectors, strict=True):
            recorder.append(frame, vector, 0.0, False, False)
        recorder.end()
    return Dataset(tmp_path / "recorded")


def config(root: Path, name: str, **options: object) -> ExportConfig:
    return ExportConfig(root, name.split(".")[1], root.with_name(name), **{"scale": SCALE, **options})  # type: ignore[arg-type]


def lit(clip: np.ndarray, strip: Overlay) -> np.ndarray:
    """Which keys and buttons are lit in a clip's frames, `(T, 3)`."""
    boxes = [strip.boxes[name] for name in ("a", "d", "mouse.left")]
    colours = np.stack([clip[:, HEIGHT * SCALE + box.top + 3, box.left + 4].astype(int) for box in boxes], axis=1)
    return (colours[..., 0] > 150) & (colours[..., 2] < 120)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_controls_are_shown_below_the_frame_before_the_one_they_produced(recorded: Dataset, name: str) -> None:
    made = export_clip(recorded, config(recorded.root, name, first=3, frames=20))
    with av.open(str(recorded.root.with_name(name))) as container:
        clip = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        rate = container.streams.video[0].average_rate
    strip = Overlay(SPEC, WIDTH * SCALE)
    assert made == 20 and clip.shape == (20, HEIGHT * SCALE + strip.height, WIDTH * SCALE, 3) and rate == FPS
    actions = recorded.rows.actions[3:23]
    held = lit(clip, strip)
    np.testing.assert_array_equal(held, actions[:, [0, 1, 4]] > 0)
    shown = seen(clip[1:, : HEIGHT * SCALE])[:, [0, 1, 4]]
    np.testing.assert_array_equal(held[:-1], shown > 0.5)  # the frame after shows what they did


def test_the_dial_points_where_the_mouse_moved() -> None:
    strip = Overlay(SPEC, 400)
    box = strip.boxes["mouse"]
    for dx, dy in ((10, 0), (-10, 0), (0, 10), (0, -10), (0, 0)):
        drawn = strip.draw(np.array([0, 0, dx, dy, 0], np.float32))[box.top : box.bottom, box.left : box.right]
        bright = np.argwhere((drawn[..., 0] > 150) & (drawn[..., 2] < 120))
        if not dx and not dy:
            assert not len(bright)
            continue
        offset = bright.mean(0)[::-1] - box.width / 2
        assert np.sign(np.round(offset / 3)).tolist() == [np.sign(dx), np.sign(dy)]


def test_caps_that_do_not_fit_go_into_the_next_line() -> None:
    boxes = Overlay(SPEC, 80).boxes
    assert all(box.right <= 80 for box in boxes.values()) and len({box.top for box in boxes.values()}) > 1
    assert not any(one.colliderect(other) for one in boxes.values() for other in boxes.values() if one is not other)


def test_without_overlay_there_is_the_frame_alone(recorded: Dataset) -> None:
    export_clip(recorded, config(recorded.root, "clip.mp4", overlay=False, scale=1))
    with av.open(str(recorded.root.with_name("clip.mp4"))) as container:
        clip = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(clip) == 30 and clip[0].shape == (HEIGHT, WIDTH, 3)


def test_what_is_wrong_is_named(recorded: Dataset) -> None:
    for options, message in (({"episode": 1}, "episode was 1"), ({"first": 30}, "first was 30")):
        with pytest.raises(WorldsimError, match=message):
            export_clip(recorded, config(recorded.root, "clip.mp4", **options))
    with pytest.raises(WorldsimError, match=r"ends in \.gif"):
        export_clip(recorded, ExportConfig(recorded.root, "gif", Path("clip.mp4")))
    for options, message in (({"scale": 0}, "scale was 0"), ({"frames": 0}, "frames was 0"), ({"first": -1}, "first was -1")):
        with pytest.raises(WorldsimError, match=message):
            config(recorded.root, "clip.mp4", **options)
