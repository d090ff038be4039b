from __future__ import annotations

import pytest
import torch
from conftest import TINY_DIT

from worldsim.model.ring import Ring

CPU = torch.device("cpu")


def ring(batch: int, seed: int = 0) -> Ring:
    """A ring whose rows are all different, and of different ages."""
    made = Ring(TINY_DIT, batch, 3, CPU, torch.float32)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    for storage in (made.keys, made.values):
        storage.normal_(generator=generator)
    made.position += torch.arange(batch, device=CPU, dtype=torch.int64) + 10 * seed
    return made


def test_rows_taken_are_copies() -> None:
    one = ring(3)
    taken = one.take([2, 0])
    assert torch.equal(taken.keys, one.keys[:, [2, 0]]) and torch.equal(taken.values, one.values[:, [2, 0]])
    assert taken.position.tolist() == [2, 0]
    one.keys.zero_()
    one.values.zero_()
    one.clear()
    assert taken.keys.abs().min() > 0 and taken.values.abs().min() > 0 and taken.position.tolist() == [2, 0]


@pytest.mark.parametrize(("source", "rows"), [([1, 0], [2, 0]), ([1], [2, 0]), ([0], [1])])
def test_rows_put_replace_those_alone(source: list[int], rows: list[int]) -> None:
    one, other = ring(3), ring(2, seed=1)
    before = one.take(range(3))
    one.put(rows, other.take(source))
    for i, row in enumerate(rows):
        given = source[i % len(source)]
        assert torch.equal(one.keys[:, row], other.keys[:, given]) and torch.equal(one.values[:, row], other.values[:, given])
        assert one.position[row] == other.position[given]
    for row in set(range(3)) - set(rows):
        assert torch.equal(one.keys[:, row], before.keys[:, row]) and torch.equal(one.values[:, row], before.values[:, row])
        assert one.position[row] == before.position[row]


def test_storage_stays_where_it_is() -> None:
    """Captured graphs read and write it there."""
    one = ring(2)
    places = [part.data_ptr() for part in (one.keys, one.values, one.position)]
    one.put([1], one.take([0]))
    one.advance()
    one.advance(torch.tensor([True, False], device=CPU))
    one.clear()
    assert places == [part.data_ptr() for part in (one.keys, one.values, one.position)]


def test_active_rows_advance() -> None:
    one = ring(3)
    one.advance(torch.tensor([True, False, True], device=CPU))
    assert one.position.tolist() == [1, 1, 3]
    one.advance()
    assert one.position.tolist() == [2, 2, 4]
    one.clear()
    assert one.position.tolist() == [0, 0, 0]
