from __future__ import annotations

from pathlib import Path

import av
import pytest

from worldsim.errors import WorldsimError
from worldsim.record import record_clip
from worldsim.world import World


def test_a_dream_becomes_a_video(tiny_world: World, tmp_path: Path) -> None:
    path = record_clip(tiny_world, tmp_path / "dream.mp4", frames=12, seed=3, scale=2)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 12 and frames[0].shape == (64, 96, 3)
    assert any((frame != frames[0]).any() for frame in frames[1:])
    with pytest.raises(WorldsimError, match="frames was 0"):
        record_clip(tiny_world, tmp_path / "none.mp4", frames=0)
