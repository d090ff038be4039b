"""What policies of the card know when they decide, in dreams and in the real game alike."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

LOUD = 8.0  # the few numbers of an action stand beside thousands of a picture
# What each trace of past decisions keeps of itself when the next decision is told; the last is nothing but that decision. Where a
# player has just been can be read off them, and that is where it is aimed at.
TRACES = (0.875, 0.75, 0.5, 0.0)


class Memory:
    """What is seen, how that has changed since the last decision, and traces of what was decided, for a batch of players.

    Args:
        numbers: seen, made flat.
        actions: Discrete or MultiDiscrete.
    """

    def __init__(self, numbers: int, actions: gymnasium.Space[Any]) -> None:
        self.sizes = action_sizes(actions)
        self.space = gymnasium.spaces.Box(-np.inf, np.inf, (2 * numbers + told_size(actions),), np.float32)

    def begin(self, seen: NDArray[Any], rows: Any = None) -> None:
        """Episodes begin: nothing has changed, and nothing was decided.

        Args:
            seen: `(B, ...)`, or `(R, ...)` for some rows.
            rows: which; by default all.
        """
        seen = seen.reshape(len(seen), -1)
        if rows is None:
            self._now, self._before = seen.astype(np.float32), seen.astype(np.float32)
            self._told = np.zeros((len(seen), len(TRACES), sum(self.sizes)), np.float32)
        else:
            self._now[rows], self._before[rows], self._told[rows] = seen, seen, 0

    def note(self, seen: NDArray[Any], last: NDArray[Any]) -> None:
        """What is seen now, `(B, ...)`, after the flat actions `(B, ...)` that were decided on last."""
        chosen = np.zeros((len(seen), 1, sum(self.sizes)), np.float32)
        places = np.asarray(last).reshape(len(seen), 1, -1) + np.cumsum([0, *self.sizes[:-1]])
        np.put_along_axis(chosen, places, LOUD, 2)
        kept = np.array(TRACES, np.float32)[:, None]
        self._told = kept * self._told + (1 - kept) * chosen
        self._before, self._now = self._now, seen.reshape(len(seen), -1).astype(np.float32)

    @property
    def known(self) -> NDArray[np.float32]:
        """`(B, D)`: what is seen, its change, and the traces, of which the last decision alone comes last."""
        return np.concatenate([self._now, self._now - self._before, self._told.reshape(len(self._told), -1)], 1)


def action_sizes(actions: gymnasium.Space[Any]) -> list[int]:
    """Choices on each axis of Discrete or MultiDiscrete actions."""
    return [int(actions.n)] if isinstance(actions, gymnasium.spaces.Discrete) else actions.nvec.tolist()  # type: ignore[attr-defined]


def told_size(actions: gymnasium.Space[Any]) -> int:
    """How many of the numbers in `Memory.known` are of past decisions."""
    return len(TRACES) * sum(action_sizes(actions))
