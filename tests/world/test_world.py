from __future__ import annotations

import gc
import json
import pickle
import shutil
import weakref
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from worldsim.controls import Controls
from worldsim.errors import ControlError, WorldError, WorldsimError
from worldsim.model.sampler import denoise
from worldsim.world import World, find_world, read_config, world_hash

LEFT = Controls(keys=frozenset({"a"}), mouse=(5.0, 0.0))


def rollout(world: World, seed: int, frames: int = 9) -> np.ndarray:
    world.reset(seed=seed)
    return np.stack([world.step(LEFT).frame for _ in range(frames)], 1)


def load(path: Path, batch: int = 1) -> World:
    return World.load(path, device="cpu", dtype=torch.float32, batch=batch)


def test_same_seed_and_controls_give_the_same_frames(tiny_world_path: Path) -> None:
    one, other = rollout(load(tiny_world_path), 5), rollout(load(tiny_world_path), 5)
    assert np.array_equal(one, other)
    assert not np.array_equal(one, rollout(load(tiny_world_path), 6))


def test_in_float32_a_row_of_a_batch_shows_what_it_shows_alone(tiny_world_path: Path) -> None:
    batch = rollout(load(tiny_world_path, batch=8), 10)
    for row in range(8):
        single = rollout(load(tiny_world_path), 10 + row)[0]
        assert np.abs(batch[row].astype(int) - single).max() <= 1, row


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_rows_make_no_difference(tiny_world_path: Path, dtype: torch.dtype) -> None:
    world = World.load(tiny_world_path, device="cpu", dtype=dtype, batch=3)

    def row_0(others: list[int], keys: str) -> np.ndarray:
        world.reset(seed=[10, *others])
        controls = [LEFT, *(Controls(keys=frozenset(key)) for key in keys)]
        return np.stack([world.step(controls).frame[0] for _ in range(6)])

    assert np.array_equal(row_0([20, 30], "ad"), row_0([7, 8], "dd"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_begins_where_single_worlds_do(tiny_world_path: Path, dtype: torch.dtype) -> None:
    """In bfloat16 rounding may then part them."""
    batch = World.load(tiny_world_path, device="cpu", dtype=dtype, batch=2)
    single = World.load(tiny_world_path, device="cpu", dtype=dtype)
    batch.reset(seed=4)
    for row in range(2):
        single.reset(seed=4 + row)
        assert torch.equal(batch.stream.ring.take([row]).keys, single.stream.ring.take([0]).keys)
        one, other = (world.get_state([at]) for world, at in ((batch, row), (single, 0)))
        assert torch.equal(one.noise, other.noise) and torch.equal(one.next_seed, other.next_seed)


def test_step_gives_the_promised_shapes(tiny_world: World) -> None:
    step = tiny_world.reset(seed=0)
    for _ in range(2):
        assert step.frame.shape == (1, 32, 48, 3) and step.frame.dtype == np.uint8
        assert step.latent.shape == (1, 2, 3, 6) and step.latent.dtype == torch.float32
        assert step.reward.shape == (1,) and step.reward.dtype == np.float32
        assert step.terminated.shape == (1,) and step.terminated.dtype == np.bool_
        step = tiny_world.step(tiny_world.control_spec.neutral())


def test_controls_change_the_dream(tiny_world: World) -> None:
    tiny_world.reset(seed=0)
    left = tiny_world.step(Controls(keys=frozenset({"a"}))).latent
    tiny_world.reset(seed=0)
    right = tiny_world.step(Controls(keys=frozenset({"d"}))).latent
    assert not torch.allclose(left, right, atol=1e-4)


def test_settling_early_changes_nothing(tiny_world: World) -> None:
    lazy = rollout(tiny_world, 1, frames=3)
    tiny_world.reset(seed=1)
    eager = []
    for _ in range(3):
        eager.append(tiny_world.step(LEFT).frame)
        tiny_world.settle()
    assert np.array_equal(lazy, np.stack(eager, 1))


def test_memory_of_the_ring_is_fixed(tiny_world: World) -> None:
    tiny_world.reset(seed=0)
    storage = tiny_world.stream.ring.keys.data_ptr(), tiny_world.stream.ring.keys.shape
    for _ in range(20):
        tiny_world.step(LEFT)
    assert (tiny_world.stream.ring.keys.data_ptr(), tiny_world.stream.ring.keys.shape) == storage
    assert tiny_world.stream.ring.position.item() == 4 + 19


def test_steps_can_be_changed_while_playing(tiny_world: World) -> None:
    tiny_world.reset(seed=0)
    tiny_world.num_steps = 4
    assert tiny_world.step(LEFT).frame.shape == (1, 32, 48, 3)
    with pytest.raises(WorldError, match="num_steps was 0"):
        tiny_world.num_steps = 0


def test_offline_denoising_keeps_given_frames(tiny_world: World) -> None:
    z = torch.randn(1, 3, 2, 3, 6)
    levels = np.array([[0, 1, 0], [0, 0.5, 0], [0, 0, 0]], np.float32)
    out = denoise(tiny_world.dynamics, z, levels, torch.zeros(1, 3, tiny_world.control_spec.size), causal=False)
    assert torch.equal(out[:, 0], z[:, 0]) and torch.equal(out[:, 2], z[:, 2])
    assert not torch.allclose(out[:, 1], z[:, 1])


def test_bad_calls_are_explained(tiny_world: World) -> None:
    with pytest.raises(WorldError, match="call reset"):
        tiny_world.step(LEFT)
    with pytest.raises(WorldError, match="start was 3; give a whole number from 0 to 2"):
        tiny_world.reset(start=3)
    with pytest.raises(WorldError, match="2 seeds for 1 worlds"):
        tiny_world.reset(seed=[1, 2])
    tiny_world.reset(seed=0)
    with pytest.raises(ControlError, match="unknown key 'w'"):
        tiny_world.step(Controls(keys=frozenset({"w"})))
    with pytest.raises(ControlError, match="last axis must be 5"):
        tiny_world.step(np.zeros((1, 3)))


def test_a_reset_without_a_seed_goes_on_with_the_last_one(tiny_world: World) -> None:
    def resets(seed: int | None) -> list[np.ndarray]:
        tiny_world.reset(seed=seed)
        return [tiny_world.reset().latent.numpy() for _ in range(6)]

    one, other, third = resets(3), resets(3), resets(None)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, third, strict=True))
    assert len({latent.tobytes() for latent in one}) > 1


def test_a_first_reset_without_a_seed_is_unpredictable(tiny_world_path: Path) -> None:
    one, other = load(tiny_world_path), load(tiny_world_path)
    one.reset(), other.reset()
    assert not torch.equal(one.get_state().noise, other.get_state().noise)


@pytest.mark.parametrize(
    "number", [np.int64(5), np.uint8(5), np.array(5), [5], [np.int32(5)], (5,), np.array([5]), np.array([5], np.uint64)]
)
def test_numpy_numbers_are_seeds(tiny_world: World, number: Any) -> None:
    expected = tiny_world.reset(seed=5).frame, tiny_world.step(LEFT).frame
    assert np.array_equal(tiny_world.reset(seed=number).frame, expected[0])
    assert np.array_equal(tiny_world.step(LEFT).frame, expected[1])


def test_numpy_numbers_are_counts_rows_and_starts(tiny_world_path: Path) -> None:
    world = World.load(tiny_world_path, device="cpu", batch=np.int64(3), num_steps=np.uint8(2), temperature=np.float32(1))
    world.reset(seed=0)
    first = world.restart(np.array([2, 0]), seed=np.array([7, 8]), start=np.int16(1))
    assert torch.equal(first, world.starts[[1, 1], -1])
    assert torch.equal(world.get_state(np.array([1])).past.position, world.get_state([1]).past.position)
    world.set_state(world.get_state(np.arange(1)), np.array([1, 2]), seed=np.array([1, 2]))


@pytest.mark.parametrize("seed", [True, np.True_, 1.0, np.float64(1), "1", -1, 2**64, [0.5], [[1]], float("nan"), b"1", {1: 2}])
def test_no_seeds(tiny_world: World, seed: Any) -> None:
    tiny_world.reset(seed=1)
    before = tiny_world.get_state()
    with pytest.raises(WorldError, match=r"seed was .*; give a whole number from 0 to"):
        tiny_world.reset(seed=seed)
    assert torch.equal(tiny_world.get_state().noise, before.noise)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": True}, "batch was True; give a whole number of at least 1"),
        ({"batch": 2.0}, r"batch was 2\.0; give a whole number of at least 1"),
        ({"batch": "2"}, "batch was '2'; give"),
        ({"num_steps": 1.5}, r"num_steps was 1\.5; give a whole number"),
        ({"context_level": float("nan")}, "context_level was nan; give a number of at least 0 and below 1"),
        ({"temperature": float("inf")}, "temperature was inf; give a number of at least 0"),
        ({"temperature": True}, "temperature was True; give"),
        ({"dtype": torch.float16}, r"dtype was torch\.float16; allowed: torch\.float32, torch\.bfloat16"),
        ({"device": "tpu"}, "device was 'tpu'; allowed: auto, cpu, cuda"),
        ({"device": "cuda:x"}, "device was 'cuda:x'; allowed"),
        ({"device": "cuda:999"}, "device was 'cuda:999', but torch sees"),
    ],
)
def test_wrong_options_name_the_field(tiny_world_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        World.load(tiny_world_path, **{"device": "cpu", **options})


@pytest.mark.parametrize("rows", [[0, 0], [3], [-1], [True], [0.0], "0", 0, [[0]], np.array([True, False, False])])
def test_no_rows(tiny_world_path: Path, rows: Any) -> None:
    world = load(tiny_world_path, batch=3)
    for call in (world.restart, world.get_state, lambda rows: world.set_state(world.get_state(), rows)):
        world.reset(seed=0)
        with pytest.raises(WorldError, match=r"rows? was .*; give"):
            call(rows)


def test_latents_may_be_trained_on(tiny_world: World) -> None:
    step = tiny_world.reset(seed=0)
    for _ in range(2):
        assert not step.latent.is_inference()
        weight = torch.ones(6, requires_grad=True)
        (step.latent * weight).square().sum().backward()
        assert weight.grad is not None and weight.grad.abs().sum() > 0
        step = tiny_world.step(LEFT)
    values = tiny_world.imagine(np.zeros((1, 5), np.float32))
    assert not any(value.is_inference() for value in values)


@pytest.mark.parametrize("duplicate", [deepcopy, lambda world: pickle.loads(pickle.dumps(world))])
def test_a_copy_goes_on_by_itself(tiny_world: World, duplicate: Callable[[World], World]) -> None:
    tiny_world.reset(seed=2)
    tiny_world.step(LEFT)
    other = duplicate(tiny_world)
    assert np.array_equal(other.step(LEFT).frame, tiny_world.step(LEFT).frame)
    with torch.no_grad():
        other.dynamics.patch.weight.zero_()
    expected = tiny_world.reset(seed=9).frame, tiny_world.step(LEFT).frame
    other.reset(seed=9)
    assert not np.array_equal(other.step(LEFT).frame, expected[1]), "its start contexts come from its own weights"
    tiny_world.reset(seed=9)
    assert np.array_equal(tiny_world.step(LEFT).frame, expected[1])


def test_a_compiled_world_says_that_it_cannot_be_copied(tiny_world: World) -> None:
    tiny_world.compiled = True
    for duplicate in (deepcopy, pickle.dumps):
        with pytest.raises(WorldError, match="compiled world cannot be pickled or copied; load it with compiled=False"):
            duplicate(tiny_world)


def test_a_dropped_world_is_freed(tiny_world_path: Path) -> None:
    world = load(tiny_world_path)
    world.reset(seed=0)
    world.step(LEFT)
    dropped = weakref.ref(world)
    gc.disable()
    try:
        del world
        assert dropped() is None
    finally:
        gc.enable()


def test_global_settings_of_torch_change_nothing(tiny_world_path: Path) -> None:
    expected = rollout(load(tiny_world_path, batch=2), 5)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        made = rollout(load(tiny_world_path, batch=2), 5)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(made, expected)


@pytest.fixture
def copy(tiny_world_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_world_path, tmp_path / "copy"))


def test_missing_file(copy: Path) -> None:
    (copy / "starts.safetensors").unlink()
    with pytest.raises(WorldError, match=r"starts\.safetensors is missing"):
        World.load(copy)


@pytest.mark.parametrize("file", ["tokenizer.safetensors", "dynamics.safetensors", "starts.safetensors"])
def test_truncated_file(copy: Path, file: str) -> None:
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorldError, match=f"{file} cannot be read .* copy the folder again"):
        World.load(copy)


def test_wrong_shape(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["dynamics"]["hidden"] = 64
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorldError, match=r"blocks\.0\.enter\.weight is shape \(96, 32\), config\.json says \(128, 32\)"):
        World.load(copy)


def test_newer_format(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"format_version": 99}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorldError, match="has format 99, this worldsim reads up to 2; upgrade"):
        World.load(copy)


def test_older_format_is_read_under_its_old_names(copy: Path, tiny_world_path: Path) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"format_version": 1}
    config["steps"] = config.pop("num_steps") + 1
    (copy / "config.json").write_text(json.dumps(config))
    old, new = read_config(copy), read_config(tiny_world_path)
    assert old.num_steps == new.num_steps + 1 and replace(old, num_steps=new.num_steps) == new and old.format_version == 2


@pytest.mark.parametrize("text", ["{", '{"format_version": 1, "colour": 3}', "[]"])
def test_broken_config(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(WorldError, match="copy the folder again"):
        World.load(copy)


@pytest.mark.parametrize(("name", "meant"), [("doom/my-way-hone", "doom/my-way-home"), ("take-over", "doom/take-cover")])
def test_unknown_name_suggests(name: str, meant: str) -> None:
    with pytest.raises(WorldError, match=rf"no world '{name}'.* Did you mean '{meant}'\?"):
        find_world(name)


def test_unknown_name_unlike_any_suggests_nothing() -> None:
    with pytest.raises(WorldError, match=r"no world '/nowhere'.* or give a folder\.$"):
        find_world("/nowhere")


def test_hash_follows_the_weights(tiny_world_path: Path, copy: Path) -> None:
    assert world_hash(copy) == world_hash(tiny_world_path)
    with (copy / "dynamics.safetensors").open("ab") as file:
        file.write(b" ")
    assert world_hash(copy) != world_hash(tiny_world_path)


class Owner:
    """Such as an environment."""


def test_a_world_has_one_owner(tiny_world: World) -> None:
    one, other = Owner(), Owner()
    tiny_world.claim(one)
    tiny_world.claim(one)
    with pytest.raises(WorldError, match=r"in use by another Owner.* load the world once for each"):
        tiny_world.claim(other)
    tiny_world.release(other)
    with pytest.raises(WorldError, match="in use"):
        tiny_world.claim(other)
    tiny_world.release(one)
    tiny_world.claim(other)


def test_a_dropped_owner_no_longer_has_the_world(tiny_world: World) -> None:
    one, other = Owner(), Owner()
    one.itself = one  # type: ignore[attr-defined]  # garbage that only the collector finds
    tiny_world.claim(one)
    del one
    tiny_world.claim(other)


@pytest.mark.parametrize("damage", ["none", "fewer controls", "shorter", "wider"])
def test_starts_of_another_world_are_refused(tiny_world: World, damage: str) -> None:
    starts, controls = tiny_world.starts, tiny_world.start_controls
    wrong = {
        "none": (starts[:0], controls[:0]),
        "fewer controls": (starts, controls[1:]),
        "shorter": (starts[:, 1:], controls[:, 1:]),
        "wider": (starts, torch.cat([controls, controls], -1)),
    }
    with pytest.raises(WorldError, match=r"starts and start_controls have shapes .*; give \(\(\d, 4, 2, 3, 6\)"):
        tiny_world.set_starts(*wrong[damage])
    assert torch.equal(tiny_world.starts, starts)


def test_a_row_that_broke_is_as_good_as_new_after_a_restart(tiny_world_path: Path) -> None:
    world, right = (World.load(tiny_world_path, batch=2, device="cpu", dtype=torch.float32) for _ in range(2))
    for each in (world, right):
        each.reset(seed=0)
    world.stream.ring.values[:, 1] = torch.nan
    still = world.control_spec.to_vectors(world.control_spec.neutral(), 2)
    first = np.array([True, False])
    for active in (None, first):
        assert not world.imagine(still, active)[0][1].isfinite().all()
        right.imagine(still, active)
    for each in (world, right):
        each.restart([1], seed=[7])
    for _ in range(3):
        assert torch.equal(world.imagine(still)[0], right.imagine(still)[0])
