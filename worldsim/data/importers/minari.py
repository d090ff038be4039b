"""Minari datasets (Younis et al. 2024), those of others and those that `worldsim data export` wrote.

A Minari episode of T steps has T + 1 observations; action t was taken at observation t. Row t takes
observation t, action t, and the reward and end of step t. The last observation has no action, so there is no
row for it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data.format import DatasetInfo
from worldsim.data.importers.actions import ActionMap, continuous, digits, discrete
from worldsim.data.importers.config import MinariConfig
from worldsim.data.importers.d4rl import FPS
from worldsim.data.importers.frames import VideoInfo, pictures
from worldsim.data.importers.source import NO_STATE, Imported, Recording, Row, dataset_info, run
from worldsim.errors import DataError, WorldsimError, printable, shown

OURS = "worldsim"  # of the metadata that our exporter writes


def import_minari(config: MinariConfig, *, progress: bool = True) -> Imported:
    """Imports a Minari dataset.

    Raises:
        DataError: if Minari is missing, there is no such dataset, or its observations or actions are of the
            wrong kind.
        FileError: if the dataset cannot be written.
    """
    storage = _open(config.path)
    try:
        ours = json.loads(storage.metadata[OURS]) if OURS in storage.metadata else None
        number = range(storage.total_episodes)
        first = next(iter(storage.get_episodes([0])))
        images = pictures(_images(first["observations"], storage.observation_space, config.image)[:1])
        fps = config.fps or (ours or {}).get("fps", FPS)
        video = VideoInfo(images.shape[1], images.shape[2], Fraction(fps).limit_denominator(1001))
        actions = None if ours else _map(config, storage.action_space)
        spec = ControlSpec.from_dict(ours["control_spec"]) if ours else actions.spec  # type: ignore[union-attr]
        info = dataset_info(config, video, spec, **_more(config, ours))
        labels = [_labels(about) for about in storage.get_episode_metadata(number)]
    except WorldsimError:
        raise
    except Exception as error:  # h5py, pyarrow and Minari raise what they like
        raise _unreadable(config.path, error) from error
    rows = functools.partial(_rows, config, storage, info, actions)
    recordings = [Recording(f"episode {i}", functools.partial(rows, i), labels[i]) for i in number]
    return run(config, info, recordings, progress=progress)


def _rows(config: MinariConfig, storage: Any, info: DatasetInfo, actions: ActionMap | None, number: int) -> Iterator[Row]:
    try:
        episode = next(iter(storage.get_episodes([number])))
        images = pictures(_images(episode["observations"], storage.observation_space, config.image))[:-1]
        infos = episode["infos"] or {}
        vectors = _vectors(episode["actions"], infos, info.control_spec, actions, storage.action_space)
        states = infos["state"][:-1] if info.state else [NO_STATE] * len(vectors)
        outcomes = [episode[name] for name in ("rewards", "terminations", "truncations")]
    except WorldsimError:
        raise
    except Exception as error:
        raise _unreadable(config.path, error) from error
    if len({len(images), len(vectors), len(states), *map(len, outcomes)}) != 1:
        raise DataError(f"episode {number} has {len(images) + 1} observations and {len(vectors)} actions; it is damaged.")
    for frame, vector, state, reward, terminated, truncated in zip(images, vectors, states, *outcomes, strict=True):
        yield Row(frame, vector, float(reward), bool(terminated), bool(truncated), state)


def _open(path: Path) -> Any:
    try:
        from minari.dataset.minari_dataset import DATASET_ID_RE
        from minari.dataset.minari_storage import MinariStorage
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError as error:
        raise DataError('Minari datasets need Minari: pip install "worldsim-dit[minari]".') from error
    try:
        for folder in (path / "data", path):
            if (folder / "metadata.json").is_file():
                return MinariStorage.read(folder)
        if DATASET_ID_RE.fullmatch(str(path)) is not None and (folder := get_dataset_path(str(path)) / "data").is_dir():
            return MinariStorage.read(folder)
    except Exception as error:
        raise _unreadable(path, error) from error
    raise DataError(f"no Minari dataset at {path}; give its folder, or the name of one that `minari list local` shows.")


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = printable(f"{type(error).__name__}: {error}", 200)
    return DataError(f"{path} cannot be read ({reason}); it is damaged, or no Minari dataset.")


def _more(config: MinariConfig, ours: Mapping[str, Any] | None) -> dict[str, Any]:
    """What our exporter wrote of the recording."""
    if ours is None:
        return {}
    more = {"state": tuple(ours["state"]), "frame_skip": ours["frame_skip"] * config.every}
    return {**more, "game": ours["game"]} if config.game == MinariConfig.game else more


def _labels(about: Mapping[str, Any]) -> dict[str, Any]:
    labels = json.loads(about[OURS]) if OURS in about else {"policy": "minari"}
    return {**labels, "seed": about.get("seed")}


def _images(observations: Any, space: Any, wanted: str | None) -> NDArray[Any]:
    """The pictures among the observations, `(T + 1, ...)`."""
    if not isinstance(observations, Mapping):
        if wanted is not None:
            raise DataError(f"image was {shown(wanted)}, but the observations have no names; leave it out.")
        return np.asarray(observations)
    like = [name for name, part in space.spaces.items() if len(part.shape or ()) == 3 and part.dtype == np.uint8]
    name = wanted or (like[0] if len(like) == 1 else None)
    if name not in observations:
        raise DataError(f"image was {shown(wanted)}; choose from: {shown(sorted(observations))}.")
    return np.asarray(observations[name])


def _vectors(
    taken: Any, infos: Mapping[str, Any], spec: ControlSpec, actions: ActionMap | None, space: Any
) -> NDArray[np.float32]:
    """Controls `(T, A)`; those of our exporter stand in `infos` too, exactly."""
    if actions is not None:
        return actions.vectors(np.asarray(taken) - getattr(space, "start", 0))
    return np.asarray(infos["controls"], np.float32)[1:] if "controls" in infos else spec.from_action(taken)


def _map(config: MinariConfig, space: Any) -> ActionMap:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        words = config.actions or digits(int(space.n))
        if len(words) != space.n:
            raise DataError(f"actions has {len(words)} words; give {space.n}, one for each action.")
        return discrete(words)
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        width = int(np.prod(space.shape))
        if len(config.actions) != width:
            raise DataError(f"actions has {len(config.actions)} words; give {width}, one for each entry of {space}.")
        largest = np.maximum(np.abs(space.low), np.abs(space.high)) if isinstance(space, spaces.Box) else np.ones(width)
        return continuous(config.actions, largest.reshape(-1).astype(np.float32))
    raise DataError(f"actions are {space}; only Discrete, Box and MultiBinary can be imported.")
