from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.controls import Controls
from worldsim.errors import ControlError, WorldError
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


def test_a_batch_gives_each_row_what_a_single_world_gives(tiny_world_path: Path) -> None:
    batch = rollout(load(tiny_world_path, batch=8), 10)
    for row in range(8):
        single = rollout(load(tiny_world_path), 10 + row)[0]
        assert np.abs(batch[row].astype(int) - single).max() <= 1, row


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
    with pytest.raises(WorldError, match="starts 0 to 2"):
        tiny_world.reset(start=3)
    with pytest.raises(WorldError, match="2 seeds for 1 worlds"):
        tiny_world.reset(seed=[1, 2])
    tiny_world.reset()
    with pytest.raises(ControlError, match="unknown key 'w'"):
        tiny_world.step(Controls(keys=frozenset({"w"})))
    with pytest.raises(ControlError, match="last axis must be 5"):
        tiny_world.step(np.zeros((1, 3)))


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
