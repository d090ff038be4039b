from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from player.conftest import dodge_world_path as dodge_world_path

from worldsim.serve import Engine
from worldsim.world import World

from .web import join as join
from .web import serve as serve
from .web import shared as shared


@pytest.fixture
def engine(tiny_world: World) -> Iterator[Engine]:
    """Four places on the tiny world, whatever else the machine does. However long a test takes, its dreams do not end."""
    torch.nn.init.constant_(tiny_world.dynamics.end_head.bias, -60.0)
    with Engine(tiny_world, limit=4, full_rate=False) as engine:
        engine.sizes.wait()
        yield engine
