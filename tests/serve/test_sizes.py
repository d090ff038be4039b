from __future__ import annotations

import pytest

from worldsim.errors import WorldError
from worldsim.serve.capacity import Capacity
from worldsim.serve.rows import Rows
from worldsim.serve.sizes import Sizes
from worldsim.world import World


def make(world: World, interval: float, limit: int = 6, full_rate: bool = True) -> tuple[Rows[str], Capacity, list[str]]:
    rows: Rows[str] = Rows(world)
    said: list[str] = []
    capacity = Capacity(interval, lambda steps: steps, 2)
    sizes = Sizes(rows, capacity, limit, full_rate, said.append)
    assert sizes.wait(60) and sizes.done
    sizes.close()
    return rows, capacity, said


def test_sizes_double_up_to_the_limit(tiny_world: World) -> None:
    rows, capacity, said = make(tiny_world, 1e6)
    assert rows.sizes == [1, 2, 4, 6] and [line.split(" ")[0] for line in said] == ["1", "2", "4", "6"]
    assert 0 < capacity.share([2] * 6) < 1e-3 and capacity.share([2] * 7) == float("inf")


def test_what_would_not_keep_full_rate_is_left_out_but_for_the_first(tiny_world: World) -> None:
    assert make(tiny_world, 1e-9)[0].sizes == [1]
    assert make(tiny_world, 1e-9, limit=3, full_rate=False)[0].sizes == [1, 2, 3]


def test_the_last_size_is_the_largest_that_should_keep_full_rate(tiny_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 2.0, 4.0, 9.5, 6.4])  # of 1, 2, 4, 8, and then 6 rows
    monkeypatch.setattr("worldsim.serve.sizes.time_frames", lambda frame, clock: next(seconds))
    rows, capacity, said = make(tiny_world, 8.0, limit=32)
    assert rows.sizes == [1, 2, 4, 6] and capacity.share([2] * 6) == 0.8 and len(said) == 5


def test_where_memory_ends_the_sizes_do(tiny_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    make_world = Rows.make

    def make_small(self: Rows[str], size: int) -> World:
        if size == 4:
            raise WorldError("4 worlds need about 9.0 GiB.")
        return make_world(self, size)

    monkeypatch.setattr(Rows, "make", make_small)
    rows, _, said = make(tiny_world, 1e6)
    assert rows.sizes == [1, 2] and said[-1] == "4 worlds need about 9.0 GiB."
