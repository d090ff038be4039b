from __future__ import annotations

import numpy as np
import pytest

from worldsim.data import Clips, Dataset, Recorder
from worldsim.errors import DataError

from .moving_square import SPEC, info

LENGTHS = (6, 9)  # the first terminates, the second is truncated


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Red tells the episode, green the row; mouse dx and reward tell the row of the action."""
    root = tmp_path_factory.mktemp("clips")
    with Recorder(root, info(lossless=True)) as recorder:
        for e, length in enumerate(LENGTHS):
            recorder.begin(seed=e)
            for t in range(length):
                frame = np.empty(recorder.info.frame_shape, np.uint8)
                frame[:] = (100 * e, 10 * t, 7)
                last = t == length - 1
                recorder.append(frame, np.array([0, 0, t + 1, 0, 1]), 100 * e + t, last and e == 0, last and e == 1)
            recorder.end()
    return Dataset(root)


def dx(clips: Clips) -> list[float]:
    return clips.controls[0, :, 2].tolist()


def test_every_entry_belongs_to_its_frame(dataset: Dataset) -> None:
    clips = dataset.clips([1, 0], [2, 1], 4)
    assert clips.frames.shape == (2, 4, 32, 32, 3) and clips.controls.shape == (2, 4, SPEC.size)
    assert clips.frames[:, :, 0, 0, 1].tolist() == [[20, 30, 40, 50], [10, 20, 30, 40]]
    assert dx(clips) == [2, 3, 4, 5]  # the action on row 1, with dx 2, produced frame 2
    assert clips.rewards.tolist() == [[101, 102, 103, 104], [0, 1, 2, 3]]
    assert clips.rows.tolist() == [[8, 9, 10, 11], [1, 2, 3, 4]]
    assert clips.real.all() and clips.known.all() and not clips.ends.any()


def test_no_action_produced_an_episodes_first_frame(dataset: Dataset) -> None:
    clips = dataset.clips(1, 0, 3)
    assert clips.known.tolist() == [[False, True, True]] and clips.real.all()
    assert dx(clips) == [0, 1, 2] and clips.rewards.tolist() == [[0, 100, 101]]
    assert clips.controls[0, 0].tolist() == [0] * SPEC.size


def test_a_termination_stands_one_past_the_last_frame(dataset: Dataset) -> None:
    clips = dataset.clips(0, 3, 6)
    assert clips.real.tolist() == [[True, True, True, False, False, False]]
    assert clips.ends.tolist() == [[False, False, False, True, False, False]]
    assert clips.known.tolist() == [[True, True, True, True, False, False]]
    assert dx(clips) == [3, 4, 5, 6, 0, 0] and clips.rewards.tolist() == [[2, 3, 4, 5, 0, 0]]
    assert clips.frames[0, :, 0, 0, 2].tolist() == [7, 7, 7, 0, 0, 0]
    assert clips.rows.tolist() == [[3, 4, 5, 5, 5, 5]]


def test_nothing_is_known_after_a_truncation(dataset: Dataset) -> None:
    clips = dataset.clips(1, 7, 4)
    assert clips.real.tolist() == clips.known.tolist() == [[True, True, False, False]]
    assert not clips.ends.any() and dx(clips) == [7, 8, 0, 0]


def test_frames_are_optional(dataset: Dataset) -> None:
    bare, whole = (dataset.clips([0, 1], [4, 0], 5, frames=frames) for frames in (False, True))
    assert bare.frames.shape == (2, 5, 0, 0, 3)
    for name in ("rows", "controls", "rewards", "ends", "real", "known"):
        one, other = getattr(bare, name), getattr(whole, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert (bare.controls.dtype, bare.rewards.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2], [0], 3), "episode was 2; this dataset has 2: give 0 to 1"),
        (([-1], [0], 3), "episode was -1"),
        (([0], [6], 3), "start was 6; episode 0 has 6 frames: give 0 to 5"),
        (([0], [-1], 3), "start was -1"),
        (([0, 1], [0], 3), r"episodes has shape \(2,\), starts \(1,\)"),
        (([0], [0], 0), "length was 0"),
    ],
)
def test_clips_outside_an_episode_are_refused(
    dataset: Dataset, arguments: tuple[list[int], list[int], int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        dataset.clips(*arguments)
