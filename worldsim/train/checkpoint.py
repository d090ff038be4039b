"""Atomic training checkpoints: written under a temporary name, then renamed; a kill at any moment leaves the last whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from worldsim.errors import TrainingError
from worldsim.files import replacing


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts of them)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def load(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none yet. Holds no code: unknown objects are refused."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"the checkpoint {path} cannot be read ({error}). Delete it to start this stage again.") from error
