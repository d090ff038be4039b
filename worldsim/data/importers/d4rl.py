"""HDF5 files as D4RL has them (Fu et al. 2020): all steps of all episodes in one array for each kind of
number.

Row t of `actions`, `rewards`, `terminals` and `timeouts` belongs to the step from observation t to
observation t + 1, as in our format. The observations must be pictures; where they are numbers of a simulator,
record its pictures instead.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from worldsim.data.importers.actions import ActionMap, continuous, digits, discrete
from worldsim.data.importers.config import D4rlConfig
from worldsim.data.importers.frames import VideoInfo, pictures
from worldsim.data.importers.source import Imported, Recording, Row, dataset_info, run
from worldsim.errors import DataError, shown

BLOCK = 256  # steps that are in memory at a time
FPS = 15.0  # where nothing says more


def import_d4rl(config: D4rlConfig, *, progress: bool = True) -> Imported:
    """Imports a file.

    Raises:
        DataError: if h5py is missing, the file lacks an array, or its observations are no pictures.
        FileError: if the dataset cannot be written.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError('HDF5 files need h5py: pip install "worldsim-dit[minari]".') from error
    try:
        with h5py.File(config.path, "r") as file:
            arrays = {name: file[name] for name in (config.image or "observations", "actions")}
            lengths = {len(array) for array in arrays.values()}
            for name in ("rewards", "terminals", "timeouts"):
                arrays[name] = file[name] if name in file else np.zeros(min(lengths))
                lengths.add(len(arrays[name]))
            if len(lengths) != 1 or not min(lengths):
                raise DataError(f"{config.path} holds arrays of different lengths, or empty ones: {shown(sorted(lengths))}.")
            images, *others = arrays.values()
            first = pictures(images[:1])
            actions = _map(config, others[0])
            video = VideoInfo(first.shape[1], first.shape[2], Fraction(config.fps or FPS).limit_denominator(1001))
            info = dataset_info(config, video, actions.spec)
            ends = np.flatnonzero((others[2][:] != 0) | (others[3][:] != 0)) + 1
            bounds = [0, *ends.tolist(), *([len(images)] if not len(ends) or ends[-1] < len(images) else [])]
            recordings = [
                Recording(f"episode {i}", functools.partial(_rows, [images, *others], actions, start, stop))
                for i, (start, stop) in enumerate(itertools.pairwise(bounds))
            ]
            return run(config, info, recordings, progress=progress)
    except KeyError as error:
        raise DataError(f"{config.path} has no array of that name ({shown(str(error))}); --image names the pictures.") from error
    except OSError as error:
        raise DataError(f"{config.path} cannot be read ({shown(str(error))}); it must be an HDF5 file.") from error


def _rows(arrays: list[Any], actions: ActionMap, start: int, stop: int) -> Iterator[Row]:
    for first in range(start, stop, BLOCK):
        images, acted, rewards, terminals, timeouts = (array[first : min(first + BLOCK, stop)] for array in arrays)
        for frame, vector, *rest in zip(pictures(images), actions.vectors(acted), rewards, terminals, timeouts, strict=True):
            yield Row(frame, vector, float(rest[0]), bool(rest[1]), bool(rest[2]) and not bool(rest[1]))


def _map(config: D4rlConfig, actions: Any) -> ActionMap:
    """Whole numbers are discrete actions; floats are vectors, whose words must be given."""
    if np.issubdtype(actions.dtype, np.integer) and int(np.prod(actions.shape[1:])) == 1:
        return discrete(config.actions or digits(int(actions[:].max()) + 1))
    if not config.actions:
        width = int(np.prod(actions.shape[1:]))
        raise DataError(f"each action is {width} numbers; say what each does, such as --actions mouse.dx=10 space.")
    return continuous(config.actions, np.abs(actions[:].reshape(len(actions), -1)).max(0))
