"""Steady frames: when the next one is due, and how long the last ones took."""

from __future__ import annotations

from collections import deque

import numpy as np


class Pacer:
    """Says when the next frame is due, at a fixed rate.

    After a delay it does not hurry to catch up: the schedule starts anew from the late frame.

    Args:
        fps: frames per second.
        now: the present time in seconds.
    """

    def __init__(self, fps: float, now: float) -> None:
        self.interval = 1 / fps
        self._due = now

    def wait(self, now: float) -> float:
        """Seconds until the next frame is due; 0 if it is."""
        return max(0.0, self._due - now)

    def start(self, now: float) -> None:
        """A frame begins now."""
        late = now - self._due
        self._due = (self._due if late < self.interval else now) + self.interval


class Timings:
    """Frame times and rate over the last frames."""

    def __init__(self, size: int = 120) -> None:
        self._seconds: deque[float] = deque(maxlen=size)
        self._starts: deque[float] = deque(maxlen=size)

    def add(self, start: float, seconds: float) -> None:
        self._starts.append(start)
        self._seconds.append(seconds)

    def fps(self) -> float:
        """Frames per second as shown."""
        span = self._starts[-1] - self._starts[0] if len(self._starts) > 1 else 0.0
        return (len(self._starts) - 1) / span if span > 0 else 0.0

    def percentile(self, share: float) -> float:
        """Seconds within which that percentage of the frames was made."""
        return float(np.percentile(self._seconds, share)) if self._seconds else 0.0
