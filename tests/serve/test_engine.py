from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.errors import FullError, ServeError
from worldsim.serve import Engine, Frame, Seat
from worldsim.world import World

PATIENCE = 20.0  # seconds that a test waits for a frame, on however busy a machine


@pytest.fixture
def engine(tiny_world: World) -> Iterator[Engine]:
    with Engine(tiny_world, limit=4) as engine:
        yield engine


def next_frame(seat: Seat) -> Frame:
    frame = seat.frame(PATIENCE)
    assert frame is not None
    return frame


def test_a_player_sees_what_a_world_of_their_own_would_show(engine: Engine, tiny_world_path: Path) -> None:
    alone = World.load(tiny_world_path, device="cpu", dtype=torch.float32)
    seats = [engine.join(seed=seed) for seed in (3, 4, 5)]
    seats[0].hold({"a"}, mouse=(30, 0))
    frames = [next_frame(seats[0]) for _ in range(8)]
    expected = {0: alone.reset(seed=3).frame[0]}
    assert [frame.number for frame in frames] == list(range(8)) and frames[1].controls.any()
    for frame in frames[1:]:
        expected[frame.number] = alone.step(frame.controls[None]).frame[0]
    for frame in frames:
        assert np.abs(frame.image.astype(int) - expected[frame.number]).max() <= 2


def test_past_the_limit_newcomers_are_told_to_wait(engine: Engine) -> None:
    seats = [engine.join() for _ in range(4)]
    with pytest.raises(FullError, match="all 4 places are taken; wait until somebody leaves"):
        engine.join()
    assert not engine.has_room and engine.figures()["refused"] == 1
    seats[1].leave()
    engine.join()
    with pytest.raises(ServeError, match="you left"):
        seats[1].take()


def test_closing_tells_every_player_why(tiny_world: World) -> None:
    with Engine(tiny_world, limit=2) as engine:
        seat = engine.join()
        next_frame(seat)
        engine.close("good bye.")
        with pytest.raises(ServeError, match=r"good bye\."):
            seat.frame()
        with pytest.raises(ServeError, match=r"good bye\."):
            engine.join()
