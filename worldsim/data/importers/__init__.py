"""Recordings made by other programs become a dataset of ours. Importing this loads neither pyarrow nor
PyTorch.

A format that is not among the ready ones needs one generator, which gives each frame with the controls held
at it:

>>> def rows():
...     for frame, keys in my_recording:  # the controls at frame t produced frame t + 1
...         yield Row(frame, spec.to_vector(Controls(keys=keys)))
>>> import_recordings(info, [Recording("monday", rows)], "data/mine")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldsim.data.importers.source import Imported, Recording, Row, import_recordings

__all__ = ["Imported", "Recording", "Row", "import_recordings"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.source"), name)
