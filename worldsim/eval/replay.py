"""Recorded episodes, played again in the real game from their seed and actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.envs.games import Game
from worldsim.errors import DataError
from worldsim.eval.fidelity import psnr

SAME_FRAME = 20.0  # dB by which the last frame must match the recorded one, which may be compressed


def replay(env: Game, dataset: Dataset, episode: int, last: int) -> Iterator[tuple[NDArray[np.uint8], dict[str, Any]]]:
    """Plays a recorded episode again up to a frame.

    Args:
        env: the game as it was recorded.
        dataset: recordings.
        episode: position in the dataset.
        last: position of the last frame in the episode.

    Yields:
        Frames 0 to `last` as the game shows them now, uint8 `(H, W, 3)`, and the game's `info` of each.

    Raises:
        DataError: if the episode does not begin with its seed; after the last frame if it is not the recorded one; or when the
            game ends before it.
    """
    recorded, row = dataset.episodes[episode], dataset.offsets[episode]
    if not recorded.replayable:
        raise DataError(
            f"episode {recorded.index} of {dataset.root} cannot be played again: it "
            + ("was recorded without a seed" if recorded.seed is None else f"begins {recorded.begun_at} frames after its seed")
            + "; collect episodes with worldsim collect."
        )
    spec = dataset.spec
    frame, info = env.reset(seed=recorded.seed)
    yield frame, info
    over = False
    for action in dataset.rows.actions[row : row + last]:
        frame, _, terminated, truncated, info = env.step(spec.to_action(action))
        over = terminated or truncated
        if over:
            break
        yield frame, info
    agreement = 0.0 if over else float(psnr(np.asarray(frame), dataset.frames(episode, last, last + 1)[0]))
    if agreement < SAME_FRAME:
        raise DataError(
            f"episode {recorded.index} of {dataset.root}, played again, shows another frame {last} than was recorded "
            f"(PSNR {agreement:.1f} dB): the installed game is another version, or takes chance from elsewhere than its seed; "
            "collect the dataset again with worldsim collect."
        )
