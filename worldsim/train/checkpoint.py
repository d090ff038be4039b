"""Training checkpoints, written whole or not at all: a kill at any moment leaves the last one."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch

from worldsim import files
from worldsim.errors import FileError, TrainingError, shown


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts of them).

    Raises:
        TrainingError: if it cannot be written; the checkpoint before it is untouched.
    """
    content = io.BytesIO()
    torch.save(state, content)
    try:
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            file.write(content.getbuffer())
    except FileError as error:
        raise TrainingError(f"{error} The last checkpoint is untouched; run again to resume from it.") from error


def load(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none yet. Holds no code: unknown objects are refused.

    Raises:
        TrainingError: if it is damaged or no checkpoint.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(f"the checkpoint {path} cannot be read ({reason}). Delete it to begin this stage again.") from error
    if not isinstance(state, dict):
        raise TrainingError(f"{path} holds no checkpoint but a {type(state).__name__}. Delete it to begin this stage again.")
    for name in ("step", "elapsed"):
        value = state.get(name, 0)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise TrainingError(f"the checkpoint {path} holds {name} {shown(value)}. Delete it to begin this stage again.")
    return state
