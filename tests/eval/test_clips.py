from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.data import Dataset
from worldsim.errors import DataError
from worldsim.eval.clips import Place, Way, decode, draw_places, encode, load_clips, roll_out
from worldsim.world import World

from .conftest import record

CONTEXT, HORIZON = 4, 5


def test_places_predict_every_frame_once(recorded: Dataset) -> None:
    places = draw_places(recorded, CONTEXT, HORIZON, 99, seed=0)
    predicted = [(p.episode, p.start + CONTEXT + i) for p in places for i in range(p.predicted)]
    wanted = [(0, t) for t in range(CONTEXT, 21)]  # row 20 is the end itself
    wanted += [(1, t) for t in range(CONTEXT, 9)] + [(2, t) for t in range(CONTEXT, 14)]
    assert sorted(predicted) == wanted
    assert max(p.predicted for p in places) == HORIZON


def test_places_follow_the_seed(recorded: Dataset) -> None:
    one, same, other = (draw_places(recorded, CONTEXT, HORIZON, 5, seed) for seed in (1, 1, 2))
    assert one == same != other and len(one) == 5


def test_too_little_play_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2"):
        draw_places(Dataset(record(tmp_path, (4, 3)), "eval"), CONTEXT, HORIZON, 5, seed=0)


def test_entries_of_a_clip_belong_to_its_frames(recorded: Dataset) -> None:
    clips = load_clips(recorded, [Place(1, 0, 5), Place(0, 5, HORIZON), Place(0, 15, 2)], CONTEXT + HORIZON)
    assert clips.frames[0, :, 0, 0, 0].tolist() == [80 + 4 * t for t in range(9)]
    assert clips.controls[0, :, 2].tolist() == [0, *range(8)]  # row t - 1 produced frame t
    assert clips.rewards[0].tolist() == [0, *range(100, 108)]
    assert clips.controls[1, :, 2].tolist() == list(range(4, 13))
    assert clips.real[:2].all() and not clips.ends[:2].any()
    assert clips.frames[2, :, 0, 0, 0].tolist() == [60, 64, 68, 72, 76, 0, 0, 0, 0]
    assert clips.real[2].tolist() == [True] * 5 + [False] * 4
    assert clips.ends[2].tolist() == [False] * 5 + [True] + [False] * 3
    assert clips.controls[2, 5, 2] == 19 and clips.rewards[2, 5] == 19  # the action that ended it


@pytest.fixture
def clip(tiny_world: World) -> tuple[torch.Tensor, np.ndarray]:
    """Latents and controls of three clips of nine frames."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, CONTEXT + HORIZON, 32, 48, 3), dtype=np.uint8)
    return encode(tiny_world, frames), rng.random((3, CONTEXT + HORIZON, tiny_world.control_spec.size), np.float32)


def imagine(world: World, clip: tuple[torch.Tensor, np.ndarray], forced: bool, controls: np.ndarray | None = None) -> np.ndarray:
    latents, given = clip
    way = Way(given[:, CONTEXT:] if controls is None else controls)
    return roll_out(world, latents, given, [way], [7, 8, 9], forced)[0].frames


def test_modes_part_after_the_first_frame(tiny_world: World, clip: tuple[torch.Tensor, np.ndarray]) -> None:
    free, forced = (imagine(tiny_world, clip, mode) for mode in (False, True))
    assert free.shape == (3, HORIZON, 32, 48, 3)
    assert np.array_equal(free[:, 0], forced[:, 0])
    assert all((free[b, -1] != forced[b, -1]).any() for b in range(3))


def test_forced_frames_know_only_real_frames_and_their_own_controls(
    tiny_world: World, clip: tuple[torch.Tensor, np.ndarray]
) -> None:
    true, wrong = clip[1][:, CONTEXT:], clip[1][:, CONTEXT:].copy()
    wrong[:, 2] = 1 - wrong[:, 2]
    forced = imagine(tiny_world, clip, True) != imagine(tiny_world, clip, True, wrong)
    assert [bool(forced[:, t].any()) for t in range(HORIZON)] == [False, False, True, False, False]
    free = imagine(tiny_world, clip, False, true) != imagine(tiny_world, clip, False, wrong)
    assert [bool(free[:, t].any()) for t in range(HORIZON)] == [False, False, True, True, True]


@pytest.mark.parametrize("forced", [False, True])
def test_every_way_is_as_if_it_were_alone(tiny_world: World, clip: tuple[torch.Tensor, np.ndarray], forced: bool) -> None:
    latents, controls = clip
    ways = [Way(controls[:, CONTEXT:]), Way(1 - controls[:, CONTEXT:]), Way(controls[:, CONTEXT:], expected=True)]
    seen: list[int] = []
    together = roll_out(tiny_world, latents, controls, ways, [7, 8, 9], forced, seen.append)
    assert seen == [3] * len(ways) * HORIZON
    for way, found in zip(ways, together, strict=True):
        (alone,) = roll_out(tiny_world, latents, controls, [way], [7, 8, 9], forced)
        assert np.array_equal(found.frames, alone.frames) and np.array_equal(found.rewards, alone.rewards)
    assert all((together[0].frames != other.frames).any() for other in together[1:])


def test_a_clip_is_the_same_in_any_batch(tiny_world: World, clip: tuple[torch.Tensor, np.ndarray]) -> None:
    latents, controls = clip
    together = imagine(tiny_world, clip, False)
    alone = roll_out(tiny_world, latents[1:2], controls[1:2], [Way(controls[1:2, CONTEXT:])], [8], False)[0].frames
    assert np.abs(together[1:2].astype(int) - alone).max() <= 1


def test_frames_make_the_round_trip(tiny_world: World) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 48, 3), dtype=np.uint8)
    latents = encode(tiny_world, frames)
    assert latents.shape == (2, 3, 2, 3, 6)
    assert decode(tiny_world, latents).shape == frames.shape and decode(tiny_world, latents).dtype == np.uint8
    assert torch.allclose(encode(tiny_world, frames[1:]), latents[1:], atol=1e-4)
