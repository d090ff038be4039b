from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.data.check import check
from worldsim.errors import FileError, GameError, WorldsimError
from worldsim.provenance import MarkOptions
from worldsim.studio.config import RecordConfig
from worldsim.studio.controls import random_controls
from worldsim.studio.record import record, record_clip
from worldsim.world import World


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_rollout_becomes_a_video(tiny_world: World, tmp_path: Path) -> None:
    frames = read(record_clip(tiny_world, tmp_path / "dream.mp4", frames=12, seed=3, scale=2))
    assert len(frames) == 12 and frames[0].shape == (64, 96, 3)
    assert any((frame != frames[0]).any() for frame in frames[1:])
    with pytest.raises(WorldsimError, match="frames was 0"):
        record_clip(tiny_world, tmp_path / "none.mp4", frames=0)


def test_an_end_is_followed_by_another_episode(short_world_path: Path, tmp_path: Path) -> None:
    world = World.load(short_world_path, device="cpu")
    (strip,) = read(record_clip(world, tmp_path / "dream.png", frames=40, seed=3, scale=1, marks=MarkOptions(watermark=False)))
    frames = np.split(strip, 40, axis=1)
    controls, seed = random_controls(world.control_spec, 3), 3
    assert np.array_equal(frames[0], world.reset(seed=3).frame[0])
    for frame in frames[1:]:
        step = world.step(next(controls))
        if step.terminated[0]:
            seed += 1
            assert (frame != step.frame[0]).any()
            step = world.reset(seed=seed)
        assert np.array_equal(frame, step.frame[0])
    assert seed > 4


def test_ctrl_c_keeps_what_was_made(tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def controls() -> Iterator[Controls]:
        for _ in range(4):
            yield Controls(keys={"a"})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_clip(tiny_world, tmp_path / "dream.mp4", frames=500, controls=controls(), scale=1)
    assert len(read(tmp_path / "dream.mp4")) == 5
    assert f"stopped: 5 of 500 frames are in {tmp_path / 'dream.mp4'}" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_clip(tiny_world: World, tmp_path: Path) -> None:
    """Enlarged frames are encoded as they come: 60 of them take 24 MB, and only a few exist at a time."""
    import tracemalloc

    tracemalloc.start()
    record_clip(tiny_world, tmp_path / "dream.mp4", frames=60, scale=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6


@pytest.mark.parametrize("what", ["world", "toy/dodge", "CartPole-v1"])
def test_anything_becomes_a_dataset_or_a_clip(what: str, tiny_world_path: Path, tmp_path: Path) -> None:
    source = str(tiny_world_path) if what == "world" else what
    out = record(RecordConfig(source, tmp_path / "data", episodes=2, frames=30, seed=4, device="cpu"))
    data = Dataset(out)
    assert data.total_frames <= 30 and data.episodes[0].seed == 4 and data.episodes[0].policy == "random"
    assert data.rows.actions.any() and check(out, progress=False)["problems"] == []
    clip = record(RecordConfig(source, tmp_path / "clip.mp4", episodes=1, frames=12, scale=1, policy="random", device="cpu"))
    assert 1 < len(read(clip)) <= 12


def test_the_same_seeds_give_the_same_recording(tmp_path: Path) -> None:
    hashes = []
    for name in ("a", "b"):
        data = Dataset(record(RecordConfig("toy/dodge", tmp_path / name, episodes=2, frames=40, policy="sweeping", seed=1)))
        hashes.append([episode.frames_hash for episode in data.episodes])
    assert hashes[0] == hashes[1] and len(set(hashes[0])) == 2


def test_a_recording_that_cannot_be_made_is_refused_first(tiny_world_path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a folder, has no such ending"):
        RecordConfig("toy/dodge", tmp_path / "clip.avi")
    for source, policy, message in (
        ("toy/dodge", "rndom", "unknown policy"),
        ("CartPole-v1", "sweeping", "actions of its own"),
        ("NoSuchEnv-v3", "random", "cannot be made"),
        ("toy/dodge", str(tmp_path / "none.zip"), "cannot be loaded|needs Stable-Baselines3"),
    ):
        with pytest.raises(GameError, match=message):
            record(RecordConfig(source, tmp_path / "data", policy=policy))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/photo.jpg").touch()
    with pytest.raises(WorldsimError, match=r"holds 'photo.jpg'; nothing was changed"):
        record(RecordConfig("toy/dodge", tmp_path / "full"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("latent", [False, True])
def test_an_agent_plays(latent: bool, tiny_world_path: Path, tmp_path: Path) -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    from worldsim.envs.dream import DreamEnv
    from worldsim.envs.registration import register_envs

    register_envs()
    view = {"obs": "latent"} if latent else {"obs": "pixels", "obs_size": (36, 48)}
    env = DreamEnv(tiny_world_path, actions="flat", rewards=False, device="cpu", **view)  # type: ignore[arg-type]
    model = sb3.PPO("MlpPolicy" if latent else "CnnPolicy", env, n_steps=4, batch_size=4, device="cpu")
    model.save(tmp_path / "agent.zip")
    env.close()
    options = {"policy": str(tmp_path / "agent.zip"), "episodes": 1, "frames": 5}
    data = Dataset(record(RecordConfig(str(tiny_world_path), tmp_path / "data", device="cpu", **options)))  # type: ignore[arg-type]
    assert data.total_frames == 4 and data.info.height == 32 and data.episodes[0].policy == "agent.zip"
    with pytest.raises(GameError, match="the environment shows"):
        record(RecordConfig("CartPole-v1", tmp_path / "other", **options))  # type: ignore[arg-type]
