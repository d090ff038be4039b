"""Work that is done in a thread of its own, in order, while the caller goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
WAITING = 64  # items that may wait; then `put` waits, so that memory stays bounded
PAUSE = 0.002  # seconds


class Background(Generic[T]):
    """Calls `work` on every item, in order, in a thread of its own.

    What `work` raises is raised again, once, by the next `put` or by `finish`; items after it are dropped.

    Args:
        work: is called with one item at a time.
    """

    def __init__(self, work: Callable[[T], None]) -> None:
        self._work = work
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()  # it costs the caller a tenth of what a Queue does
        self._error: BaseException | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="worldsim-background", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hands over an item; waits while too many are waiting."""
        while self._items.qsize() >= WAITING and self._error is None:
            time.sleep(PAUSE)
        self._raise()
        self._items.put(item)

    def finish(self) -> None:
        """Waits until everything is done, and ends the thread."""
        self._end()
        self._raise()

    def stop(self) -> None:
        """Drops what is waiting, and ends the thread once the item at hand is done; raises nothing."""
        self._stopped = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._items.put(None)
            self._thread.join()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if self._stopped:
                continue
            try:
                self._work(item)
            except BaseException as error:
                self._error, self._stopped = error, True
