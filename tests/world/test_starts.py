"""Rings after start contexts: always the same, and no more of them kept than needed."""

from __future__ import annotations

import pickle

import pytest
import torch

from worldsim.world import World
from worldsim.world import starts as module
from worldsim.world.starts import Starts


@pytest.fixture
def starts(tiny_world: World) -> Starts:
    return Starts(tiny_world.dynamics, tiny_world.starts, tiny_world.start_controls)


def test_a_ring_is_filled_once(starts: Starts) -> None:
    assert len(starts) == 3
    first = starts.ring_after(1, 0.1)
    assert starts.ring_after(1, 0.1) is first
    others = [starts.ring_after(1, 0.2), starts.ring_after(0, 0.1)]
    assert not any(torch.equal(first.keys, other.keys) for other in others)
    assert first.position.tolist() == [4], "the frames of the start context"


def test_the_most_recent_rings_are_kept(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED", 1)  # so as many as there are starts, 3
    levels = (0.0, 0.1, 0.2)
    rings = [starts.ring_after(0, level) for level in levels]
    starts.ring_after(0, 0.0)
    starts.ring_after(0, 0.3)
    assert list(starts._rows) == [(0, 0.2), (0, 0.0), (0, 0.3)]
    assert starts.ring_after(0, 0.0) is rings[0] and starts.ring_after(0, 0.1) is not rings[1]


def test_copies_fill_rings_of_their_own(starts: Starts) -> None:
    first = starts.ring_after(0, 0.1)
    other = pickle.loads(pickle.dumps(starts))
    assert not other._rows and torch.equal(other.latents, starts.latents)
    again = other.ring_after(0, 0.1)
    assert again is not first and torch.equal(again.keys, first.keys) and torch.equal(again.values, first.values)
