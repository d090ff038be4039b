"""Atomic training checkpoints: written under a temporary name, then renamed; a kill at any moment leaves the last whole one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from worldsim.errors import TrainingError


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts of them)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(
            f"cannot write the checkpoint {path}: {error.strerror}. Free some space; the last one is untouched."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none yet. Holds no code: unknown objects are refused."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"the checkpoint {path} cannot be read ({error}). Delete it to start this stage again.") from error
