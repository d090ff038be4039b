from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.errors import WorldsimError
from worldsim.studio.controls import random_controls
from worldsim.studio.record import record_clip
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
    (strip,) = read(record_clip(world, tmp_path / "dream.png", frames=40, seed=3, scale=1))
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
