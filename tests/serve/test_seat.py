from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_SPEC

from worldsim.data.video import video_shape
from worldsim.errors import ControlError, FileError, ServeError
from worldsim.serve.seat import CLIP_BYTES, Seat
from worldsim.serve.start import Start

BLACK = np.zeros((32, 48, 3), np.uint8)


@pytest.fixture
def seat() -> Seat:
    seat = Seat(
        TINY_SPEC,
        10.0,
        Start(0, None),
        starts=3,
        num_steps=2,
        temperature=1.0,
        clip_seconds=2.0,
        poke=lambda: None,
        allow=lambda seat, steps: None,
    )
    seat.wanted()
    seat.begin(BLACK, Start(0, None))
    return seat


def test_inputs_are_latched_for_the_next_frame_and_none_is_stuck(seat: Seat) -> None:
    seat.hold({"a"}, mouse=(40, 0))
    seat.hold({"d"}, mouse=(20, 0), buttons={"left"})
    assert seat.hold() == 3
    vector, inputs = seat.latch()
    assert vector.tolist() == [1, 1, 9, 0, 1] and inputs == 3  # degrees: 60 pixels of 0.15
    assert not seat.latch()[0].any()
    seat.hold({"a"})
    assert [seat.latch()[0][0] for _ in range(3)] == [1, 1, 1]
    assert seat.release_all() == 5 and not seat.latch()[0].any()


@pytest.mark.parametrize("wrong", [{"keys": {"hyper"}}, {"mouse": (math.nan, 0)}, {"buttons": {"fourth"}}])
def test_a_wrong_input_changes_nothing(seat: Seat, wrong: dict[str, object]) -> None:
    seat.hold({"a"})
    with pytest.raises(ControlError):
        seat.hold(**{"keys": {"d"}, **wrong})  # type: ignore[arg-type]
    assert seat.latch()[0].tolist() == [1, 0, 0, 0, 0] and seat.inputs == 1


def test_only_the_newest_frame_is_kept(seat: Seat) -> None:
    for level in range(1, 4):
        seat.follow(np.full_like(BLACK, level), TINY_SPEC.to_vector(TINY_SPEC.neutral()), 0, 0.5, False)
    frame = seat.take()
    assert frame is not None and frame.number == 3 and frame.score == 1.5 and frame.image[0, 0, 0] == 3
    assert seat.skipped == 3 and seat.frames == 4 and seat.take() is None and seat.frame(0) is None


def test_at_an_end_the_last_picture_stays(seat: Seat) -> None:
    seat.follow(np.full_like(BLACK, 9), TINY_SPEC.to_vector(TINY_SPEC.neutral()), 0, 1.0, True)
    frame = seat.take()
    assert frame is not None and frame.over and not frame.image.any() and frame.score == 1 and not seat.active


def test_watchers_hear_of_frames_and_of_the_end(seat: Seat) -> None:
    heard: list[str | None] = []
    seat.watch(lambda: heard.append(seat.reason))
    seat.begin(BLACK, Start(1, None))
    seat.leave("enough.")
    seat.leave("again.")
    assert heard == [None, None, "enough."] and not seat.waits
    with pytest.raises(ServeError, match=r"^enough\.$"):
        seat.frame(0)


def test_a_clip_holds_the_last_seconds_and_is_saved_whole_or_not_at_all(seat: Seat, tmp_path: Path) -> None:
    for level in range(30):
        seat.follow(np.full_like(BLACK, level), np.full(5, level, np.float32), 0, 0.0, False)
    clip = seat.clip()
    assert clip.frames[:, 0, 0, 0].tolist() == list(range(10, 30)) and clip.controls[:, 0].tolist() == list(range(10, 30))
    clip.save(tmp_path / "clip.mp4", scale=2)
    assert video_shape(tmp_path / "clip.mp4") == (20, 64, 96)
    with pytest.raises(FileError):
        clip.save(tmp_path / "clip.exe")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_clip_knows_which_frames_were_given(seat: Seat, tmp_path: Path) -> None:
    seat.begin(BLACK, Start(1, None, picture=BLACK))
    seat.follow(BLACK, np.zeros(5, np.float32), 0, 0.0, False)
    clip = seat.clip()
    assert clip.given.tolist() == [False, True, False]


def test_a_clip_of_large_frames_is_bounded(seat: Seat) -> None:
    large = np.zeros((1024, 2048, 3), np.uint8)
    for _ in range(8):
        seat.begin(large, Start(0, None))
    assert seat.clip().frames.nbytes <= CLIP_BYTES
