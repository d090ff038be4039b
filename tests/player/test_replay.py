from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import Controls, ControlSpec
from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.errors import DataError
from worldsim.player.replay import Replay

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(20.0, 0.0))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two episodes, of 5 and 3 frames."""
    rng, root = np.random.default_rng(0), tmp_path / "data"
    with Recorder(root, DatasetInfo("toy/dodge", SPEC, 32, 48, 10.0, lossless=True)) as recorder:
        for length in (5, 3):
            recorder.begin(seed=1, policy="human")
            for t in range(length):
                held = SPEC.to_vector(Controls(keys={"ad"[t % 2]}, mouse=(t, 0)))
                recorder.append(rng.integers(256, size=(32, 48, 3), dtype=np.uint8), held, t + 1.0, t == length - 1, False)
            recorder.end()
    return root


def test_every_frame_is_shown_with_its_controls(dataset: Path) -> None:
    replay, data = Replay(dataset), Dataset(dataset)
    replay.restart()
    for t in range(5):
        assert np.array_equal(replay.panes["recording"].frame, data.frames(0)[t])
        assert replay.held == Controls(keys={"ad"[t % 2]}, mouse=(t, 0)) and replay.position == t
        assert not replay.ended
        replay.advance(Controls(keys={"a"}))
    assert replay.ended and replay.panes["recording"].score == 1 + 2 + 3 + 4 + 5
    assert np.array_equal(replay.panes["recording"].frame, data.frames(0)[4]), "the last frame stays"


def test_episodes_follow_each_other(dataset: Path) -> None:
    replay = Replay(dataset, 1)
    replay.restart()
    assert replay.mode == "episode 1 of 2" and "frame 1 of 3" in replay.figures
    replay.after_end()
    assert replay.mode == "episode 0 of 2"
    replay.next_mode()
    assert replay.mode == "episode 1 of 2"


def test_what_is_not_there_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"episode was 2; .* has episodes 0 to 1"):
        Replay(dataset, 2)
    with pytest.raises(DataError, match="no dataset at"):
        Replay(tmp_path / "nothing")


def test_it_cannot_be_recorded_or_changed(dataset: Path) -> None:
    replay = Replay(dataset)
    replay.restart()
    replay.toggle_recording()
    replay.change_num_steps(1)
    assert replay.notices == ["this is a recording already", "a recording has no network calls"] and not replay.recording
