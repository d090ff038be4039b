"""Recorded play: the on-disk format, recorder, reader and collector. Importing this loads neither pyarrow nor PyTorch.

The functions `check`, `collect`, `coverage` and `merge` are in the modules of their names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldsim.data.clips import Clips
    from worldsim.data.collect import Policy, PolicySource
    from worldsim.data.config import CheckConfig, CollectConfig, MergeConfig
    from worldsim.data.dataset import Dataset, Episode
    from worldsim.data.format import DatasetInfo, EpisodeInfo, Rows
    from worldsim.data.recorder import Recorder
    from worldsim.data.writer import EpisodeWriter, Take

_HOMES = {
    "CheckConfig": "config",
    "Clips": "clips",
    "CollectConfig": "config",
    "Dataset": "dataset",
    "DatasetInfo": "format",
    "Episode": "dataset",
    "EpisodeInfo": "format",
    "EpisodeWriter": "writer",
    "MergeConfig": "config",
    "Policy": "collect",
    "PolicySource": "collect",
    "Recorder": "recorder",
    "Rows": "format",
    "Take": "writer",
}
__all__ = [
    "CheckConfig",
    "Clips",
    "CollectConfig",
    "Dataset",
    "DatasetInfo",
    "Episode",
    "EpisodeInfo",
    "EpisodeWriter",
    "MergeConfig",
    "Policy",
    "PolicySource",
    "Recorder",
    "Rows",
    "Take",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
