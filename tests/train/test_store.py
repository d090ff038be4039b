from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_DIT, TINY_TOKENIZER, randomize
from processes import Processes

from worldsim.data import Dataset
from worldsim.errors import DataError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.train.calibrate import EndCalibration, calibrate_ends
from worldsim.train.dynamics import draw_windows
from worldsim.train.store import CacheConfig, FrameStore, LatentStore

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(square: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    torch.manual_seed(0)
    tokenizer = Tokenizer(TINY_TOKENIZER)
    randomize(tokenizer)
    return LatentStore(Dataset(square, "train"), tokenizer, tmp_path_factory.mktemp("cache") / "latents.bin", CPU)


def test_controls_and_rewards_belong_to_the_frame_they_produced(store: LatentStore) -> None:
    """The reward of the square game is its motion, and motion is what the keys say: frame, control and reward must agree."""
    windows = store.batch(200, 8, np.random.default_rng(0))
    motion = windows.controls[..., 1] - windows.controls[..., 0]
    inside = windows.known & (windows.rewards != 0)
    assert inside.sum() > 100
    assert torch.equal(motion[inside], windows.rewards[inside])
    # A frame that differs from the one before was produced by a motion, and a still one by none (walls aside).
    changed = (windows.latents[:, 1:].float() - windows.latents[:, :-1].float()).abs().amax((2, 3, 4)) > 0
    moved = (motion[:, 1:] != 0) & windows.real[:, 1:]
    assert not (changed & ~moved).any()
    assert (changed & moved).sum() > 0.8 * moved.sum()


def test_ends_stand_one_past_the_last_frame(store: LatentStore) -> None:
    assert store.batch(500, 8, np.random.default_rng(1)).real.all(), "windows of frames that exist"
    windows = store.ending(9, 8, np.random.default_rng(1))
    place = windows.ends.int().argmax(1)
    assert (windows.ends.sum(1) == 1).all() and (place > 0).all()
    time = torch.arange(8)
    assert torch.equal(windows.real, time < place[:, None])
    assert not windows.known[time > place[:, None]].any() and windows.known[time == place[:, None]].all()
    for row, shown in enumerate(place.tolist()):
        after = store.offsets[1:][store.ended]
        fits = [i - 1 for i in after if np.array_equal(store.latents[i - shown : i], windows.latents[row, :shown])]
        control, reward = windows.controls[row, shown].numpy(), windows.rewards[row, shown]
        assert any(np.array_equal(control, store.rows.actions[i]) and reward == store.rows.rewards[i] for i in fits)


def test_first_frames_have_no_controls(store: LatentStore) -> None:
    windows = store.batch(500, 8, np.random.default_rng(2))
    first = ~windows.known
    assert first.any() and not first[:, 1:].any()
    assert (windows.controls[first] == 0).all() and (windows.rewards[first] == 0).all()


def test_windows_never_cross_episodes(store: LatentStore) -> None:
    latents, controls = store.window(1, 0, 24)
    assert len(latents) == 24 and (controls[0] == 0).all()
    with pytest.raises(DataError, match="no episode is 26 frames long"):
        store.batch(2, 26, np.random.default_rng(0))


def test_caches_are_kept_until_data_or_weights_change(square: Path, tmp_path: Path) -> None:
    data, tokenizer = Dataset(square, "train"), Tokenizer(TINY_TOKENIZER)
    path = tmp_path / "latents.bin"
    LatentStore(data, tokenizer, path, CPU)
    made = path.stat().st_mtime_ns
    LatentStore(data, tokenizer, path, CPU)
    assert path.stat().st_mtime_ns == made
    randomize(tokenizer, seed=3)
    LatentStore(data, tokenizer, path, CPU)
    assert path.stat().st_mtime_ns > made


def prepared(data: Path, folder: Path) -> None:
    torch.manual_seed(0)
    dataset, tokenizer = Dataset(data, "train"), Tokenizer(TINY_TOKENIZER)
    LatentStore(dataset, tokenizer, folder / "latents.bin", CPU, mirrored=True)
    FrameStore(dataset, folder / "frames.bin", 0, CacheConfig(frame_bytes=40 * 32 * 32 * 3))
    assert "rows" not in vars(dataset), "which would be all actions, in memory"


def test_several_processes_prepare_the_same_files(square: Path, tmp_path: Path, processes: Processes) -> None:
    """Each of three decodes and encodes some of the four episodes."""
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    prepared(square, tmp_path / "alone")
    processes.run(3, prepared, square, tmp_path / "together")
    assert len(list((tmp_path / "alone").iterdir())) == 6
    for file in (tmp_path / "alone").iterdir():
        assert file.read_bytes() == (tmp_path / "together" / file.name).read_bytes(), file.name


def test_the_numbers_of_all_frames_stay_on_disk(store: LatentStore) -> None:
    assert all(isinstance(values, np.memmap) for values in (store.latents, store.rows.actions, store.rows.rewards))


def test_mirrored_episodes_come_after_the_others(square: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(TINY_TOKENIZER)
    randomize(tokenizer)
    data = Dataset(square, "train")
    both = LatentStore(data, tokenizer, tmp_path / "both.bin", CPU, mirrored=True)
    plain = LatentStore(data, tokenizer, tmp_path / "plain.bin", CPU)
    assert both.latents.shape == (2 * data.total_frames, *plain.latents.shape[1:])
    assert both.ending_share(8) == pytest.approx(plain.ending_share(8))
    for episode in range(len(data)):
        latents, controls = plain.window(episode, 0, 10)
        assert np.array_equal(both.window(episode, 0, 10)[0], latents)
        turned, swapped = both.window(len(data) + episode, 0, 10)
        assert np.array_equal(swapped, controls[:, ::-1]) and (swapped != controls).any()
        with torch.no_grad():
            expected = tokenizer.encode(to_images(torch.from_numpy(data.frames(episode)[:10, :, ::-1].copy())))
        assert np.allclose(turned, expected, atol=0.1) and not np.allclose(turned, latents, atol=0.1)
    ends = both.ending(100, 8, np.random.default_rng(0))
    assert len(ends.ends) == 2 * int(plain.ended.sum()) and ends.ends.any(1).all()


def test_frames_are_those_of_the_dataset(square: Path, tmp_path: Path) -> None:
    data = Dataset(square, "train")
    frames = FrameStore(data, tmp_path / "frames.bin", seed=0)
    assert len(frames.frames) == data.total_frames
    everything = {frame.tobytes() for i in range(len(data)) for frame in data.frames(i)}
    assert all(frame.numpy().tobytes() in everything for frame in frames.batch(16, np.random.default_rng(0)))


def test_windows_that_end(store: LatentStore) -> None:
    rng = np.random.default_rng(0)
    windows = store.ending(9, 8, rng, last=True)
    assert len(windows.ends) == int(store.ended.sum()) == 2 and windows.ends[:, -1].all() and not windows.ends[:, :-1].any()
    assert len(store.ending(9, 26, rng, last=True).ends) == 0, "no episode is as long"
    places = torch.stack([store.ending(9, 8, rng).ends for _ in range(500)]).float().mean((0, 1))
    assert places[0] == 0 and torch.allclose(places[1:], torch.full((7,), 1 / 7), atol=0.04), "everywhere alike"


def test_every_frame_and_every_end_counts_as_much_as_there_are(store: LatentStore) -> None:
    """Over many batches, weighed as the end head weighs them, ends are to other frames as in the recordings, at every place."""
    rng = np.random.default_rng(0)
    drawn = [draw_windows(store, 8, 8, 0.4, rng) for _ in range(3000)]
    assert {len(windows.ends) for windows, _, _ in drawn} == {8} and {end_windows for _, end_windows, _ in drawn} <= {2, 3, 4}
    assert all(windows.ends[8 - end_windows :].any(1).all() for windows, end_windows, _ in drawn)
    assert not any(windows.ends[: 8 - end_windows].any() for windows, end_windows, _ in drawn)
    ends, others = torch.zeros(8), torch.zeros(8)
    for windows, _, excess in drawn:
        weight = torch.where(windows.ends.any(1, keepdim=True), 1 / excess, 1.0)
        ends += (weight * windows.ends).sum(0)
        others += (weight * (windows.known & windows.real)).sum(0)
    chance = store.ended.sum() / (store.ended.sum() + store.lengths.sum() - len(store.lengths))
    found = (ends / (ends + others))[1:]
    assert found.mean().item() == pytest.approx(chance, rel=0.4), "frames near a beginning or a cut stand in fewer windows"
    assert found.std() < 0.3 * found.mean(), "at every place alike"


def test_worlds_without_ends_have_none_drawn(store: LatentStore) -> None:
    endless = copy.copy(store)
    endless.ended = np.zeros_like(store.ended)
    assert endless.ending_share(8) == 0
    windows, *rest = draw_windows(endless, 8, 8, 0.2, np.random.default_rng(0))
    assert rest == [0, 1.0] and len(windows.ends) == 8


def test_ends_may_be_as_many_as_are_natural(store: LatentStore) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_windows(store, 8, 8, 0.0, rng) for _ in range(500)]
    assert drawn[0][2] == pytest.approx(1)
    assert np.mean([end_windows for _, end_windows, _ in drawn]) / 8 == pytest.approx(store.ending_share(8), rel=0.2)


@pytest.mark.parametrize("informed", [False, True])
def test_calibrated_worlds_expect_as_many_ends_as_there_are(store: LatentStore, informed: bool) -> None:
    torch.manual_seed(0)
    model = DiT(replace(TINY_DIT, controls=2))
    if informed:
        randomize(model)
    torch.nn.init.constant_(model.end_head.bias, -9.0)
    shift = calibrate_ends(model, store, 0.05, EndCalibration(windows=64))
    assert shift > 0 and model.end_head.bias.item() == pytest.approx(shift - 9, abs=1e-4)
    if not informed:  # all frames look alike
        ends = int(store.ended.sum())
        chance = ends / (ends + int(store.lengths.sum()))
        assert model.end_head.bias.sigmoid().item() == pytest.approx(chance, rel=0.05)
    assert calibrate_ends(model, store, 0.05, EndCalibration(windows=64)) == pytest.approx(0, abs=0.05), (
        "once is enough, up to bfloat16"
    )


def test_little_time_still_calibrates_ends(store: LatentStore) -> None:
    torch.manual_seed(0)
    model = DiT(replace(TINY_DIT, controls=2))
    torch.nn.init.constant_(model.end_head.bias, -9.0)
    assert calibrate_ends(model, store, 0.05, seconds=0.0) > 0
