"""How many players a world holds at full rate: measured before anybody plays, and watched while they do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from statistics import median

SHARE = 0.9  # of the time between two frames that the model may take; the rest is for pictures on their way to players
MEASURED, WARM_UP, LONGEST = 12, 3, 2.0  # frames timed, frames before, seconds after which timing ends


class Budget:
    """The time that engines of one process may take together, as shares of the time between two frames."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: dict[object, float] = {}

    def set(self, owner: object, share: float) -> None:
        """What an engine takes now; 0 for one that is closed."""
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
        calls: network calls per frame, by number of denoising steps.
        usual: denoising steps of the world.

    Attributes:
        seconds: of a frame at the usual steps, by batch size, as measured.
        slowdown: how much longer frames take of late than measured, as on a machine that has other work.
    """

    def __init__(self, interval: float, calls: Callable[[int], int], usual: int) -> None:
        self.interval, self._calls, self._usual = interval, calls, usual
        self.seconds: dict[int, float] = {}
        self.slowdown = 1.0

    def measure(self, size: int, step: Callable[[], None], clock: Callable[[], float]) -> float:
        """Times frames of a batch size; returns the median."""
        times: list[float] = []
        begun = clock()
        while len(times) < WARM_UP + MEASURED and (len(times) <= WARM_UP or clock() - begun < LONGEST):
            before = clock()
            step()
            times.append(clock() - before)
        self.seconds[size] = median(times[WARM_UP:])
        return self.seconds[size]

    def holds(self, size: int) -> bool:
        """Whether a batch size keeps full rate at the usual settings."""
        return self.seconds[size] <= SHARE * self.interval

    def between(self, holding: int, failing: int) -> int:
        """The largest number of rows between a size that keeps full rate and one that does not, going by both times."""
        low, high = self.seconds[holding], self.seconds[failing]
        more = (SHARE * self.interval - low) / max(high - low, 1e-9) * (failing - holding)
        return min(holding + max(0, int(more)), failing - 1)

    def expected(self, size: int, steps: Iterable[int]) -> float:
        """Seconds of a frame, given the batch size and the denoising steps of the players; 0 without players."""
        calls = sum(self._calls(count) for count in set(steps))
        return self.seconds[size] * calls / self._calls(self._usual)

    def share(self, players: int, steps: Iterable[int]) -> float:
        """Share of the time between two frames that so many players take, as things are; infinite beyond the largest size."""
        size = min((size for size in self.seconds if size >= players), default=None)
        return float("inf") if size is None else self.slowdown * self.expected(size, steps) / self.interval

    def note(self, seconds: float, size: int, steps: Iterable[int]) -> None:
        """A frame took so long."""
        ratio = seconds / max(self.expected(size, steps), 1e-9)
        self.slowdown += 0.05 * (min(ratio, 4.0) - self.slowdown)
