"""Reading ahead: what the next batch needs is read while the current one is trained on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Ahead(Generic[K, V]):
    """Calls a function in the background with the argument that is probably next.

    Args:
        read: what it returns must depend on its argument alone.
    """

    def __init__(self, read: Callable[[K], V]):
        self._read = read
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: tuple[K, Future[V]] | None = None

    def take(self, wanted: K, following: K) -> V:
        """`read(wanted)`, which may be ready; begins with `following`."""
        ready, self._next = self._next, None
        value = ready[1].result() if ready is not None and ready[0] == wanted else self._read(wanted)
        self._next = following, self._pool.submit(self._read, following)
        return value
