from __future__ import annotations

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.errors import WorldsimError
from worldsim.studio import generate as module
from worldsim.studio.generate import generate
from worldsim.world import World


def test_a_clip_from_noise(tiny_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    controls = [Controls(keys={"a"})] * 4
    clip = generate(tiny_world, controls, num_steps=3, seed=1)
    assert clip.shape == (4, 32, 48, 3) and clip.dtype == np.uint8 and clip.std() > 1
    monkeypatch.setattr(module, "DECODED", 3)
    assert np.abs(generate(tiny_world, controls, num_steps=3, seed=1).astype(int) - clip).max() <= 1, "decoded in parts"
    assert (generate(tiny_world, controls, num_steps=3, seed=2) != clip).any()


def test_wrong_numbers_are_named(tiny_world: World) -> None:
    with pytest.raises(WorldsimError, match="controls was empty"):
        generate(tiny_world, [])
    with pytest.raises(WorldsimError, match="num_steps was 0"):
        generate(tiny_world, [Controls()], num_steps=0)
