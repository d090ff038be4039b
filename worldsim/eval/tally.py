"""What is gathered from clips, batch by batch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Tally:
    """Gathers arrays `(clips, ...)` batch by batch, by name."""

    def __init__(self) -> None:
        self._parts: dict[Any, list[NDArray[Any]]] = defaultdict(list)

    def add(self, *name: str, values: NDArray[Any]) -> None:
        self._parts[name].append(values)

    def has(self, *name: str) -> bool:
        return name in self._parts

    def all(self, *name: str) -> NDArray[Any]:
        return np.concatenate(self._parts[name])

    def extend(self, other: Tally) -> None:
        """Appends the batches of another."""
        for name, parts in other._parts.items():
            self._parts[name] += parts
