from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.errors import WorldsimError
from worldsim.studio import record
from worldsim.studio.record import record_clip, wander
from worldsim.world import World


def test_a_dream_becomes_a_video(tiny_world: World, tmp_path: Path) -> None:
    path = record_clip(tiny_world, tmp_path / "dream.mp4", frames=12, seed=3, scale=2)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 12 and frames[0].shape == (64, 96, 3)
    assert any((frame != frames[0]).any() for frame in frames[1:])
    with pytest.raises(WorldsimError, match="frames was 0"):
        record_clip(tiny_world, tmp_path / "none.mp4", frames=0)


def test_an_end_is_followed_by_another_dream(short_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, videos = World.load(short_world_path, device="cpu"), []
    monkeypatch.setattr(record, "save_mp4", lambda path, frames, fps: videos.append(frames))
    record_clip(world, tmp_path / "dream.mp4", frames=40, seed=3, scale=1)
    (video,), play, seed = videos, wander(world.control_spec, 3), 3
    assert np.array_equal(video[0], world.reset(seed=3).frame[0])
    for t, frame in enumerate(video[1:]):
        step = world.step(play(t))
        if step.terminated[0]:
            seed += 1
            assert (frame != step.frame[0]).any()
            step = world.reset(seed=seed)
        assert np.array_equal(frame, step.frame[0])
    assert seed > 4
