"""What policies know when they decide: what they see, how it changed, and what they decided before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

LOUD = 16.0  # the few numbers of an action stand beside thousands of a picture
SINCE = np.array([1, 2, 3, 4, 6, 8, 10, 12, 14, 17])  # decisions in a row that are told apart: up to so many, and more


@dataclass(frozen=True)
class Past:
    """The last decisions of some episodes.

    Attributes:
        seen: what was seen when they were made, `(B, D)`; at the start of an episode, what is seen there.
        chosen: what was decided on each axis of the actions, `(B, A)`.
        since: how many times in a row, `(B, A)`; 0 at the start of an episode, where nothing was.
    """

    seen: NDArray[np.float32]
    chosen: NDArray[np.int64]
    since: NDArray[np.int64]

    @classmethod
    def none(cls, seen: NDArray[Any], actions: gymnasium.Space[Any]) -> Past:
        """At the start of episodes that show `seen`, `(B, ...)`."""
        nothing = np.zeros((len(seen), len(action_sizes(actions))), np.int64)
        return cls(_flat(seen), nothing, nothing)

    def decided(self, seen: NDArray[Any], chosen: NDArray[Any]) -> Past:
        """After the flat actions `chosen`, `(B, ...)`, where `seen` was seen."""
        chosen = _flat(np.asarray(chosen))
        return Past(_flat(seen), chosen, np.where(chosen == self.chosen, self.since, 0) + 1)

    def rows(self, rows: NDArray[np.int64]) -> Past:
        """Of these episodes alone."""
        return Past(self.seen[rows], self.chosen[rows], self.since[rows])

    def begin(self, over: NDArray[np.bool_], seen: NDArray[Any]) -> Past:
        """The same, but where `over`, `(B,)`, another episode begins, which shows `seen`, `(B, ...)`."""
        over = over[:, None]
        return Past(np.where(over, _flat(seen), self.seen), np.where(over, 0, self.chosen), np.where(over, 0, self.since))


def remember(seen: NDArray[Any], past: Past, actions: gymnasium.Space[Any]) -> NDArray[np.float32]:
    """What a policy knows: what it sees, `(B, ...)` made flat; how that has changed since it last decided; and, one-hot, what it
    then decided and how many times in a row it has. At the start of an episode nothing has changed, and the rest is zeros."""
    now, sizes = _flat(seen), action_sizes(actions)
    places = (past.chosen + np.cumsum([0, *sizes[:-1]])) * (len(SINCE) + 1) + np.searchsorted(SINCE, past.since)
    told = np.zeros((len(now), told_size(actions)), np.float32)
    np.put_along_axis(told, places, np.where(past.since, LOUD, 0), 1)
    return np.concatenate([now, now - past.seen, told], 1, dtype=np.float32)


def told_size(actions: gymnasium.Space[Any]) -> int:
    """Of what `remember` tells of decisions: for each choice on each axis, how many times in a row."""
    return sum(action_sizes(actions)) * (len(SINCE) + 1)


def memory_space(numbers: int, actions: gymnasium.Space[Any]) -> gymnasium.spaces.Box:
    """Of what `remember` makes of so many numbers seen."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (2 * numbers + told_size(actions),), np.float32)


def action_sizes(actions: gymnasium.Space[Any]) -> list[int]:
    """Choices on each axis of Discrete or MultiDiscrete actions."""
    return [int(actions.n)] if isinstance(actions, gymnasium.spaces.Discrete) else actions.nvec.tolist()  # type: ignore[attr-defined]


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)
