"""Whether a world follows its controls: clips are imagined under the recorded controls and under wrong ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data import Dataset
from worldsim.eval.clips import Place, load_clips

MODEL, MIRRORED, SHUFFLED = "model", "mirrored controls", "shuffled controls"
EXPECTED = {row: f"{row}, expected" for row in (MODEL, MIRRORED, SHUFFLED)}  # the same rows with no codeword drawn


def control_rows(spec: ControlSpec, true: NDArray[np.float32], shuffled: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Controls `(B, F, A)` to imagine frames under, by row: the true ones, mirrored ones where that changes any, and those of
    other clips."""
    rows = {MODEL: true, MIRRORED: spec.mirror(true), SHUFFLED: shuffled}
    if not mirrors(spec):
        del rows[MIRRORED]
    return rows


def mirrors(spec: ControlSpec) -> bool:
    """Whether swapping left and right changes any control."""
    each = np.eye(spec.size, dtype=np.float32)
    return not np.array_equal(spec.mirror(each), each)


def predicted_controls(dataset: Dataset, places: Sequence[Place], context: int, horizon: int) -> NDArray[np.float32]:
    """Controls `(B, horizon, A)` of the predicted frames of clips, repeated from their first where a clip is shorter."""
    controls = load_clips(dataset, places, context + horizon, frames=False).controls[:, context:]
    wanted = zip(controls, places, strict=True)
    return np.stack([np.resize(given[: place.predicted], given.shape) for given, place in wanted])
