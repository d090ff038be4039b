"""What a policy is given when it decides: the latent of the frame, how it has changed, and the policy's last decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

ACTION_SCALE = 16.0  # of one-hot inputs: a few numbers beside the thousands of a latent
REPEATS = np.array([1, 2, 3, 4, 6, 8, 10, 12, 14, 17])  # how often a decision was repeated is given as one of 11 ranges


@dataclass(frozen=True)
class History:
    """The last decisions in B episodes.

    Attributes:
        latents: float32 `(B, D)`, what was seen at the last decision; at the start of an episode, what is seen there.
        actions: int64 `(B, A)`, what was decided on each axis of the flat actions.
        repeats: int64 `(B, A)`, how many times in a row; 0 at the start of an episode.
    """

    latents: NDArray[np.float32]
    actions: NDArray[np.int64]
    repeats: NDArray[np.int64]

    @classmethod
    def start(cls, latents: NDArray[Any], space: gymnasium.Space[Any]) -> History:
        """At the start of episodes that show `latents` `(B, ...)`; `space` is that of the flat actions."""
        nothing = np.zeros((len(latents), len(action_sizes(space))), np.int64)
        return cls(_flat(latents), nothing, nothing)

    def decided(self, latents: NDArray[Any], actions: NDArray[Any]) -> History:
        """After the flat actions `(B, ...)` were decided on at `latents` `(B, ...)`."""
        actions = _flat(np.asarray(actions))
        return History(_flat(latents), actions, np.where(actions == self.actions, self.repeats, 0) + 1)

    def rows(self, rows: NDArray[np.int64]) -> History:
        """Of these episodes only."""
        return History(self.latents[rows], self.actions[rows], self.repeats[rows])

    def restarted(self, over: NDArray[np.bool_], latents: NDArray[Any]) -> History:
        """With new episodes, which show `latents` `(B, ...)`, where `over` `(B,)`."""
        over = over[:, None]
        return History(
            np.where(over, _flat(latents), self.latents), np.where(over, 0, self.actions), np.where(over, 0, self.repeats)
        )


def policy_inputs(latents: NDArray[Any], history: History, space: gymnasium.Space[Any]) -> NDArray[np.float32]:
    """Inputs `(B, 2 * D + history_size)` of a policy.

    Args:
        latents: of the current frames, `(B, ...)`, D numbers each.
        history: of the same episodes.
        space: of the flat actions.

    Returns:
        The latent; its difference from the one at the last decision; and one-hot, for every axis of the actions, the last
        decision together with the range of its repeats. At the start of an episode all but the latent is 0.
    """
    now, sizes = _flat(latents), action_sizes(space)
    places = (history.actions + np.cumsum([0, *sizes[:-1]])) * (len(REPEATS) + 1) + np.searchsorted(REPEATS, history.repeats)
    decisions = np.zeros((len(now), history_size(space)), np.float32)
    np.put_along_axis(decisions, places, np.where(history.repeats, ACTION_SCALE, 0), 1)
    return np.concatenate([now, now - history.latents, decisions], 1, dtype=np.float32)


def history_size(space: gymnasium.Space[Any]) -> int:
    """Inputs that are about decisions: one for each choice on each axis and each range of repeats."""
    return sum(action_sizes(space)) * (len(REPEATS) + 1)


def input_space(latent: int, space: gymnasium.Space[Any]) -> gymnasium.spaces.Box:
    """Space of `policy_inputs` for latents of so many numbers."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (2 * latent + history_size(space),), np.float32)


def action_sizes(space: gymnasium.Space[Any]) -> list[int]:
    """Choices on each axis of Discrete or MultiDiscrete actions."""
    return [int(space.n)] if isinstance(space, gymnasium.spaces.Discrete) else space.nvec.tolist()  # type: ignore[attr-defined]


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)
