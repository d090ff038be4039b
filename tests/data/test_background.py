from __future__ import annotations

import threading

import pytest

from worldsim.data.background import WAITING, Background


def test_items_are_worked_on_in_order() -> None:
    done: list[int] = []
    background = Background(done.append)
    for i in range(3 * WAITING):
        background.put(i)
    background.finish()
    background.finish()
    assert done == list(range(3 * WAITING))


def test_what_goes_wrong_is_raised_once_and_the_rest_is_dropped() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        if item == 2:
            raise OSError("full")
        done.append(item)

    background = Background(work)
    with pytest.raises(OSError, match="full"):
        for i in range(10 * WAITING):
            background.put(i)
        background.finish()
    background.finish()
    assert done == [0, 1]


def test_stopping_drops_what_waits() -> None:
    begun, gate, done = threading.Event(), threading.Event(), list[int]()

    def work(item: int) -> None:
        begun.set()
        gate.wait(10)
        done.append(item)

    background = Background(work)
    for i in range(5):
        background.put(i)
    begun.wait(10)
    threading.Timer(0.2, gate.set).start()
    background.stop()
    assert done == [0], "only the item at hand is finished"
