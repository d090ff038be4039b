from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.errors import WorldError
from worldsim.world import World, world_hash


@pytest.fixture
def prompted(tiny_studio_path: Path) -> World:
    return World.load(tiny_studio_path, device="cpu")


def dream(world: World, *prompts: str) -> np.ndarray:
    """Frames from one start, before each of which a prompt is given."""
    world.prompt = ""
    world.reset(seed=1)
    frames = []
    for prompt in prompts:
        world.prompt = prompt
        frames.append(world.step(Controls()).frame[0])
    return np.stack(frames).astype(int)


def test_a_prompt_changes_the_world_from_the_next_frame_on(prompted: World) -> None:
    plain, said = dream(prompted, "", "", ""), dream(prompted, "", "red room", "red room")
    assert (plain[0] == said[0]).all() and (plain[1] != said[1]).any()
    assert (dream(prompted, "zzz", "", "") == plain).all(), "words that nobody knows say nothing"


def test_a_world_begins_with_a_picture(prompted: World) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (9, 32, 48, 3), np.uint8)
    frames = []
    for given in (pictures, pictures[-6:], pictures[-1:], 255 - pictures[-1:]):
        latent = prompted.begin(given, seed=3)
        assert latent.shape == (1, *prompted.latent_shape) and prompted.origins == [None]
        frames.append(prompted.step(Controls()).frame)
    assert (frames[0] == frames[1]).all(), "only as many as the window holds"
    assert (frames[1] != frames[2]).any() and (frames[2] != frames[3]).any()
    with pytest.raises(WorldError, match=r"frames were uint8 \(1, 16, 48, 3\); give uint8 \(T, 32, 48, 3\)"):
        prompted.begin(pictures[:1, :16])


def test_a_world_without_words_reads_no_prompts(tiny_world: World) -> None:
    with pytest.raises(WorldError, match="reads no prompts"):
        tiny_world.prompt = "a room"
    assert tiny_world.prompt == ""


def test_words_are_part_of_a_world(tiny_studio_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    shutil.copytree(tiny_studio_path, folder)
    (folder / "words.safetensors").unlink()
    assert world_hash(folder) != world_hash(tiny_studio_path)
    with pytest.raises(WorldError, match=r"words\.safetensors"):
        World.load(folder)
