"""How many players a world holds at full rate: timed before they come, and watched while they play."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

SHARE = 0.9  # of the time between two frames that the model may take; the rest is for pictures on their way to players
TIMED, WARM_UP, LONGEST = 12, 3, 2.0  # frames timed, frames before, seconds after which timing ends


class Budget:
    """The time that engines of one process may take together, as shares of the time between two frames."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: dict[object, float] = {}

    def set(self, owner: object, share: float) -> None:
        """What an engine takes now; 0 for one without players."""
        with self._lock:
            self._shares.pop(owner, None)
            if share > 0:
                self._shares[owner] = share

    def others(self, owner: object) -> float:
        """What all other engines take together."""
        with self._lock:
            return sum(share for other, share in self._shares.items() if other is not owner)


class Capacity:
    """Expected seconds of a frame, by number of players and their settings.

    Args:
        interval: seconds between two frames at full rate.
        calls: network calls per frame, given the denoising steps.
        usual: denoising steps of the world.

    Attributes:
        slowdown: how much longer frames take of late than when they were timed, as on a machine that has other work.
    """

    def __init__(self, interval: float, calls: Callable[[int], int], usual: int) -> None:
        self.interval, self._calls, self._usual = interval, calls, usual
        self._seconds: dict[int, float] = {}
        self.slowdown = 1.0

    def add(self, size: int, seconds: float) -> None:
        """Frames of a batch size take so long at the usual steps."""
        self._seconds = {**self._seconds, size: seconds}

    def holds(self, seconds: float) -> bool:
        """Whether frames that take so long keep full rate."""
        return seconds <= SHARE * self.interval

    def between(self, holding: tuple[int, float], failing: tuple[int, float]) -> int:
        """The largest batch size that should keep full rate, between one that does and one that does not.

        Args:
            holding, failing: rows, and seconds of a frame.
        """
        more = (SHARE * self.interval - holding[1]) / max(failing[1] - holding[1], 1e-9)
        return min(holding[0] + int(more * (failing[0] - holding[0])), failing[0] - 1)

    def expected(self, size: int, steps: Iterable[int]) -> float:
        """Seconds of a frame, given the batch size and the denoising steps of the players."""
        return self._seconds[size] * sum(self._calls(count) for count in set(steps)) / self._calls(self._usual)

    def share(self, steps: Iterable[int]) -> float:
        """Share of the time between two frames that players take, given the denoising steps of each; infinite beyond the largest
        size.
        """
        steps = list(steps)
        size = min((size for size in self._seconds if size >= len(steps)), default=None)
        return float("inf") if size is None else self.slowdown * self.expected(size, steps) / self.interval

    def note(self, seconds: float, size: int, steps: Iterable[int]) -> None:
        """A frame took so long."""
        ratio = seconds / max(self.expected(size, steps), 1e-9)
        self.slowdown += 0.05 * (min(ratio, 4.0) - self.slowdown)


def time_frames(frame: Callable[[], None], clock: Callable[[], float]) -> float:
    """Seconds that a frame takes, undisturbed: three in four take longer.

    Args:
        frame: makes one.
        clock: the time in seconds.
    """
    times: list[float] = []
    begun = clock()
    while len(times) < WARM_UP + TIMED and (len(times) <= WARM_UP or clock() - begun < LONGEST):
        before = clock()
        frame()
        times.append(clock() - before)
    return sorted(times[WARM_UP:])[len(times[WARM_UP:]) // 4]
