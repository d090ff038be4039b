from __future__ import annotations

from collections.abc import Iterator

import pytest
from player.conftest import dodge_world_path as dodge_world_path

from worldsim.serve import Engine
from worldsim.world import World

from .web import join as join
from .web import serve as serve
from .web import shared as shared


@pytest.fixture
def engine(tiny_world: World) -> Iterator[Engine]:
    """Four places on the tiny world, whatever else the machine does."""
    with Engine(tiny_world, limit=4, full_rate=False) as engine:
        engine.sizes.wait()
        yield engine
