"""Dreamed episodes, dreamed again from what the recording says of them: bit for bit, or with what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data import Dataset, EpisodeInfo
from worldsim.errors import DataError, WorldError, check_int
from worldsim.eval.fidelity import psnr
from worldsim.world import find_world, world_hash
from worldsim.world.provenance import describe_sampler, differences, load_as_recorded, restart_as_recorded
from worldsim.worlds import SHIPPED, shipped_worlds

SAME_PICTURE = 30.0  # dB to the recorded, compressed frame from which a frame counts as the same


def redream(
    dataset: Dataset, position: int, world: str | None = None, show: Callable[[Any], None] | None = None
) -> dict[str, Any]:
    """Dreams a recorded episode again, and compares.

    Args:
        dataset: that holds it.
        position: of the episode in the dataset.
        world: name, folder or Hub id of the world; by default the one that ships or that the recording names.
        show: is given every frame, uint8 `(H, W, 3)`.

    Returns:
        `identical`, whether all frames are those that were recorded, bit for bit; `frames`; `differs`, what is not as it was
        then, one line each; `psnr`, mean over frames, against the recorded video; `first_other`, the first frame that is
        another picture than the recorded one, or None.

    Raises:
        DataError: if the episode is no dream, or its start is not in the recording.
        WorldError: if its world is not here, or cannot run with its settings.
    """
    episode = dataset.episodes[position]
    sampler = _sampler(dataset, episode)
    folder = _find(world, sampler, episode)
    dreamer = load_as_recorded(folder, sampler)
    digest, quality, first_other = hashlib.sha256(), [], None
    frames = _frames(dataset, position, dreamer, sampler)
    for t, (frame, recorded) in enumerate(frames):
        digest.update(np.ascontiguousarray(frame).data)
        quality.append(min(100.0, float(psnr(frame, recorded))))
        if quality[-1] < SAME_PICTURE and first_other is None:
            first_other = t
        if show is not None:
            show(frame)
    differs = differences(sampler, describe_sampler(dreamer, sampler["row"], sampler["decoded"]))
    if episode.world_hash != world_hash(folder):
        differs.insert(0, f"the world was {episode.world_hash}, and {folder} is {world_hash(folder)}")
    return {
        "episode": episode.index,
        "world": str(folder),
        "frames": episode.length,
        "identical": episode.frames_hash is not None and digest.hexdigest() == episode.frames_hash,
        "hashed": episode.frames_hash is not None,
        "psnr": float(np.mean(quality)),
        "first_other": first_other,
        "differs": differs,
    }


def format_redream(figures: dict[str, Any]) -> str:
    """What came of it, as lines to read."""
    what = f"episode {figures['episode']}, {figures['frames']} frames of {figures['world']}: "
    if figures["identical"]:
        return f"{what}dreamed again bit for bit"
    from_there = "" if figures["first_other"] is None else f", other pictures from frame {figures['first_other']} on"
    kept = "" if figures["hashed"] else "; the recording is older than hashes of frames, so only pictures can be compared"
    lines = [f"{what}not bit for bit; {figures['psnr']:.1f} dB to the recording{from_there}{kept}"]
    reasons = figures["differs"] or ["nothing that the recording notes differs"]
    return "\n".join([*lines, *(f"  {line}" for line in reasons)])


def _sampler(dataset: Dataset, episode: EpisodeInfo) -> dict[str, Any]:
    where = f"episode {episode.index} of {dataset.root}"
    if episode.world_hash is None or episode.sampler is None:
        raise DataError(f"{where} was not dreamed by a world from a folder; only dreams can be dreamed again.")
    try:
        sampler: dict[str, Any] = json.loads(episode.sampler)
        check_int("batch", sampler["batch"], 1, 4096, DataError)
        check_int("row", sampler["row"], 0, sampler["batch"] - 1, DataError)
        count, place = sampler["decoded"]
        check_int("decoded", place, 0, check_int("decoded", count, 1, 4096, DataError) - 1, DataError)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} does not say all that its frames depend on ({error}); it was recorded before that.") from error
    if episode.seed is None:
        raise DataError(f"{where} does not say where it began: the world was put into a state, rather than reset.")
    if episode.begun_at and "before" not in json.loads(episode.start or "{}"):
        raise DataError(
            f"{where} begins {episode.begun_at} frames after its dream, whose settings were changed before, or which had gone on "
            "for too long: what came before is not known."
        )
    return sampler


def _find(world: str | None, sampler: dict[str, Any], episode: EpisodeInfo) -> Path:
    """Folder of the world: the one given; that of the right hash among those that ship; or the one that has the name."""
    if world is not None:
        return find_world(world)
    shipped = (SHIPPED / name for name in shipped_worlds())
    same = next((folder for folder in shipped if world_hash(folder) == episode.world_hash), None)
    if same is not None:
        return same
    try:
        return find_world(str(sampler.get("world", "")))
    except WorldError as error:
        raise WorldError(f"the world {episode.world_hash} that dreamed it is not found; give it as --world. {error}") from error


def _frames(
    dataset: Dataset, position: int, dreamer: Any, sampler: dict[str, Any]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Frames as they are dreamed now, and as they are in the video."""
    episode, row = dataset.episodes[position], sampler["row"]
    if dreamer.control_spec != dataset.spec:
        raise WorldError(
            f"the world takes {dreamer.control_spec.names}, the recording has {dataset.spec.names}: give its own world."
        )
    before = restart_as_recorded(dreamer, row, int(episode.seed or 0), episode.start)
    count, place = sampler["decoded"]
    latent = dreamer.starts[dreamer.origins[row].start, -1]
    frame = dreamer.decode(latent.expand(count, *latent.shape).contiguous()).cpu().numpy()[place]
    actions = np.concatenate([before, dataset.episode_rows(position).actions])
    recorded = dataset.frames(position)
    for t, action in enumerate(actions):
        if t >= len(before):
            yield frame, recorded[t - len(before)]
        frame = dreamer.step(np.tile(action, (dreamer.batch, 1))).frame[row]
