from __future__ import annotations

import numpy as np
import torch

from worldsim.world import World
from worldsim.world.resize import resized


def test_another_size_shares_weights_and_starts_and_nothing_else(tiny_world: World) -> None:
    tiny_world.num_steps, tiny_world.temperature = 3, 0.5
    other = resized(tiny_world, 3)
    assert other.batch == 3 and other.num_steps == 3 and other.temperature == 0.5 and other.folder == tiny_world.folder
    assert other.dynamics is tiny_world.dynamics and other.starts is tiny_world.starts and other.has_own_starts
    alone, many = tiny_world.reset(seed=4), other.reset(seed=[4, 5, 6])
    assert np.array_equal(alone.frame[0], many.frame[0])
    still = tiny_world.control_spec.neutral()
    for _ in range(4):
        difference = tiny_world.step(still).frame[0].astype(int) - other.step(still).frame[0]
        assert np.abs(difference).max() <= 1
    other.temperature = 1.0
    assert tiny_world.temperature == 0.5 and isinstance(other.stream.ring.keys, torch.Tensor)
