from __future__ import annotations

import threading

import pytest

from worldsim.train.ahead import Ahead


def test_what_comes_next_is_read_in_the_background() -> None:
    read: list[tuple[int, bool]] = []

    def square(i: int) -> int:
        read.append((i, threading.current_thread() is threading.main_thread()))
        return i * i

    ahead = Ahead(square)
    assert [ahead.take(i, i + 1) for i in range(3)] == [0, 1, 4]
    assert ahead.take(7, 8) == 49, "another than foreseen"
    assert ahead.take(8, 9) == 64
    assert [entry for entry in read if entry[1]] == [(0, True), (7, True)]
    assert sorted({i for i, foreground in read if not foreground} & {1, 2, 8}) == [1, 2, 8]


def test_an_error_comes_where_its_batch_is_taken() -> None:
    def refuse(i: int) -> int:
        if i == 1:
            raise OSError("the disk is gone")
        return i

    ahead = Ahead(refuse)
    assert ahead.take(0, 1) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.take(1, 2)
