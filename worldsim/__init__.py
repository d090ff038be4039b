"""Learned video games: load a world, give it controls, get the next frame.

>>> from worldsim import Controls, World
>>> world = World.load("doom/take-cover")
>>> world.reset(seed=0)
>>> step = world.step(Controls(keys={"a"}))

Importing this registers the environments with Gymnasium and loads no PyTorch; that comes with the first name that needs it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldsim.envs.registration import register_envs

if TYPE_CHECKING:
    from worldsim.controls import Controls, ControlSpec
    from worldsim.data import Dataset
    from worldsim.envs.games import GameSpec
    from worldsim.envs.record import RecordDataset
    from worldsim.world import Step, World

    __version__: str

_HOMES = {
    "ControlSpec": "worldsim.controls",
    "Controls": "worldsim.controls",
    "Dataset": "worldsim.data",
    "GameSpec": "worldsim.envs.games",
    "RecordDataset": "worldsim.envs.record",
    "Step": "worldsim.world",
    "World": "worldsim.world",
}
__all__ = ["ControlSpec", "Controls", "Dataset", "GameSpec", "RecordDataset", "Step", "World", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("worldsim-dit")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# PyTorch's OpenMP threads would spin for milliseconds after every operation, on the cores that OpenVINO's threads need next: a
# step on two cores takes 20 ms instead of 15. Read when PyTorch is loaded; what the user set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

register_envs()
