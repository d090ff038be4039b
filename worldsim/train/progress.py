"""What a phase of training shows, and how long it may take."""

from __future__ import annotations

import math
import time
from types import TracebackType

from tqdm import tqdm

from worldsim.train import distributed


class Phase:
    """A progress bar over a known amount of work that can also tell when its time is up. Of several processes the first shows it.

    Args:
        name: shown before the bar.
        total: units of work, at most.
        unit: of work.
        seconds: that the phase may take; whoever works asks `over` and stops.
    """

    def __init__(self, name: str, total: int, unit: str, seconds: float = math.inf):
        self.bar = tqdm(total=total, desc=name, unit=unit, disable=not distributed.is_main())
        self.begun, self.seconds = time.monotonic(), seconds

    def __enter__(self) -> Phase:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def advance(self, units: int = 1) -> None:
        self.bar.update(units)

    def over(self, share: float = 1.0) -> bool:
        """Whether that share of its seconds has passed."""
        return time.monotonic() - self.begun >= share * self.seconds
