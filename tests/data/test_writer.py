from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.data import Dataset, EpisodeWriter, Recorder
from worldsim.data.background import Background
from worldsim.data.video import count_frames
from worldsim.errors import DataError

from .moving_square import SPEC, info
from .recording import append, noise, psnr, record


def test_state_is_recorded(tmp_path: Path) -> None:
    settings = info(state=("x", "y", "angle"))
    states = np.arange(12, dtype=np.float32).reshape(4, 3)
    with Recorder(tmp_path, settings) as recorder:
        recorder.begin()
        for state in states:
            recorder.append(np.zeros(settings.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False, state)
        with pytest.raises(DataError, match="state has shape"):
            recorder.append(np.zeros(settings.frame_shape, np.uint8), np.zeros(SPEC.size), 0.0, False, False)
        recorder.end()
    np.testing.assert_array_equal(Dataset(tmp_path).episode(0).states, states)


def test_actions_are_stored_as_the_game_takes_them(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        recorder.begin()
        recorder.append(np.zeros(recorder.info.frame_shape, np.uint8), np.array([0.7, 0.2, 99, 5, 0.5]), 0.0, False, False)
        recorder.end()
    np.testing.assert_array_equal(Dataset(tmp_path).episode(0).actions, [[1, 0, 10, 0, 1]])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"reward": None}, "reward was None"),
        ({"reward": float("nan")}, "reward was nan; give one finite number"),
        ({"reward": 1e300}, "one finite number"),
        ({"reward": "1"}, "reward was '1'"),
        ({"reward": [1.0, 2.0]}, "one finite number"),
        ({"terminated": "no"}, "terminated was 'no'"),
        ({"terminated": None}, "terminated was None"),
        ({"terminated": 2}, "give True or False"),
        ({"state": "x"}, "state was 'x'"),
        ({"frame": [[1]]}, "this dataset takes uint8"),
    ],
)
def test_a_row_that_is_refused_leaves_no_frame(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    with Recorder(tmp_path, info(lossless=True)) as recorder:
        recorder.begin()
        for t in range(4):
            append(recorder, np.full(recorder.info.frame_shape, 50 * t, np.uint8), t)
            with pytest.raises(DataError, match=message):
                append(recorder, **bad)
        recorder.end()
    episode = Dataset(tmp_path).episode(0)
    assert episode.frames[:, 0, 0, 0].tolist() == [0, 50, 100, 150] and episode.rewards.tolist() == [0, 1, 2, 3]


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_recording_memory_is_flat(tmp_path: Path) -> None:
    settings = info(height=80, width=128)
    frames = noise(np.random.default_rng(0), settings, 50)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with Recorder(tmp_path, settings) as recorder:
        recorder.begin()
        for t in range(1500):
            if t == 500:
                before = resident()
            recorder.append(frames[t % 50], np.zeros(SPEC.size), 0.0, False, False)
        assert resident() - before < 4 << 20  # 1,000 frames are 30 MB
        recorder.end()


def test_default_video_keeps_small_saturated_things(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(height=80, width=128)) as recorder:
        frames = record(recorder, 60)["frames"]
    got = Dataset(tmp_path).frames(0)
    assert psnr(got, frames) > 42
    spot = frames[..., 0] >= 250
    assert psnr(got[spot], frames[spot]) > 36


def test_odd_sizes(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(height=15, width=33)) as recorder:
        frames = record(recorder, 5)["frames"]
    assert psnr(Dataset(tmp_path).frames(0), frames) > 36


@pytest.mark.parametrize(("before", "taken"), [(3, False), (3, True), (0, False)])
def test_ctrl_c_in_the_middle_of_a_row_leaves_rows_and_frames_of_one_number(
    before: int, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EpisodeWriter(tmp_path / "x.mp4", info())
    frame, vector = np.zeros(info().frame_shape, np.uint8), np.zeros(info().control_spec.size)
    for _ in range(before):
        writer.append(frame, vector, 0.0, False, False)
    put = Background.put

    def interrupted(background: Background[Any], item: Any) -> None:
        if taken:
            put(background, item)
        raise KeyboardInterrupt

    monkeypatch.setattr(Background, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.append(frame, vector, 0.0, False, False)
    take = writer.close()
    if take is None:
        assert not before and not list(tmp_path.iterdir())
    else:
        assert len(take.rows) == count_frames(take.video) == before + taken
