"""Prepares larger batch sizes while those who came first already play."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from worldsim.errors import WorldError
from worldsim.serve.capacity import Capacity, time_frames
from worldsim.serve.rows import Rows
from worldsim.world import World
from worldsim.world.runtimes.prepare import prepare_elsewhere


class Sizes:
    """A thread that makes and times worlds of twice as many rows again and again, as long as they keep full rate.

    The last size is the largest that should, going by the times of its neighbours.

    Args:
        rows: of which there shall be more.
        capacity: gets the times.
        limit: rows at most.
        full_rate: whether to stop at the largest size that keeps full rate.
        say: gets a line about each size.
    """

    def __init__(self, rows: Rows[Any], capacity: Capacity, limit: int, full_rate: bool, say: Callable[[str], None]) -> None:
        self._rows, self._capacity, self._limit, self._full_rate, self._say = rows, capacity, limit, full_rate, say
        self._stop = threading.Event()
        self._world, self._holding = rows.world, (rows.size, self._add(rows.world))
        self._thread = threading.Thread(target=self._run, name="larger batches", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether there will be no more."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until there will be no more; returns whether that is so."""
        self._thread.join(timeout)
        return self.done

    def close(self) -> None:
        """Gives up; waits for the size that is being made."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            holding = self._holding
            while holding[0] < self._limit and not self._stop.is_set():
                size = min(2 * holding[0], self._limit)
                seconds = self._make(size)
                if self._full_rate and not self._capacity.holds(seconds):
                    best = self._capacity.between(holding, (size, seconds))
                    if best > holding[0] and not self._stop.is_set():
                        self._make(best)
                    return
                holding = size, seconds
        except (WorldError, RuntimeError) as error:  # no memory for so many, or a fault of PyTorch's
            self._say(str(error))

    def _make(self, size: int) -> float:
        """Makes a world of a size and times it; it is used if it keeps full rate. Returns the seconds of a frame."""
        prepare_elsewhere(self._world, size, self._stop.is_set)
        return self._add(self._rows.make(size))

    def _add(self, world: World) -> float:
        still = world.control_spec.to_vectors(world.control_spec.neutral(), world.batch)

        def frame() -> None:
            latent, *_ = world.imagine(still)
            with torch.inference_mode():
                world.decode(latent).cpu()

        seconds = time_frames(frame, time.perf_counter)
        rate = f"{1e3 * seconds:.1f} ms a frame, {1e3 * self._capacity.interval:.1f} ms at full rate"
        self._say(f"{world.batch} at a time: {rate}")
        first = world.batch in self._rows.sizes
        if first or not self._full_rate or self._capacity.holds(seconds):
            self._capacity.add(world.batch, seconds)
        if not first and (not self._full_rate or self._capacity.holds(seconds)):
            self._rows.add(world)
        return seconds
