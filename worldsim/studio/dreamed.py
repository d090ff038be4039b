"""Real clips and dreamed ones like them, both through the same files, for what has to tell them apart."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.data.images import ClipWriter
from worldsim.data.video import VideoWriter, read_frames
from worldsim.errors import DataError
from worldsim.studio import tasks
from worldsim.studio.captioning import Captions
from worldsim.studio.inspection import read_frames as read_file
from worldsim.studio.pipeline import Studio
from worldsim.studio.tasks import Frames

LENGTH, GIVEN = 8, 4  # frames of a clip; real ones before it, where a dream goes on from them
CALLS, GUIDANCE = (8, 16), (1.0, 2.0)  # that dreams are made with, at random
FILES = ("frames", "mp4", "mp4, half size", "gif")  # what a clip goes through: nothing, or a file at four times its size
SCALE = 4


@dataclass(frozen=True)
class Pair:
    """A real clip and a dreamed one of the same size, about the same, both as a dataset holds them.

    Attributes:
        real, dreamed: uint8 `(T, H, W, 3)`.
        continued: whether the dream goes on from real frames under the same controls; otherwise it is made of a caption.
        fps: frames per second.
    """

    real: Frames
    dreamed: Frames
    continued: bool
    fps: float


def make_pairs(studio: Studio, roots: Sequence[Path], count: int, seed: int = 0, progress: bool = True) -> list[Pair]:
    """Draws real clips from captioned datasets, and dreams another for each; every second one goes on from real frames.

    Raises:
        DataError: if no episode is long enough, or a dataset has no captions.
    """
    rng, found = np.random.default_rng(seed), []
    data = [(Dataset(root), Captions(root)) for root in roots]
    for d, (dataset, _) in enumerate(data):
        found += [(d, i) for i in np.flatnonzero(dataset.lengths >= GIVEN + LENGTH)]
    if not found:
        raise DataError(f"no episode of {GIVEN + LENGTH} frames in {', '.join(map(str, roots))}; record longer ones.")
    pairs = []
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        for n in tqdm(range(count), desc="dreams", unit="clip", disable=not progress):
            d, i = found[int(rng.integers(len(found)))]
            (dataset, captions), continued = data[d], n % 2 == 1
            start = int(rng.integers(dataset.lengths[i] - GIVEN - LENGTH + 1))
            clip = dataset.clips([i], [start], GIVEN + LENGTH)
            assert clip.frames is not None
            whole, height, width = clip.frames[0], dataset.info.height, dataset.info.width
            about = {"num_steps": int(rng.choice(CALLS)), "guidance": float(rng.choice(GUIDANCE)), "seed": seed + n}
            if continued:
                made = studio.render(tasks.extend(whole[:GIVEN], after=LENGTH), controls=clip.controls[0], **about).frames[GIVEN:]
            else:
                prompt = captions.at(dataset.episodes[i].index, start + GIVEN, rng)
                made = studio(prompt, frames=LENGTH, size=(width, height), **about).frames  # type: ignore[arg-type]
            pairs.append(Pair(whole[GIVEN:], recorded(made, dataset.fps, Path(folder)), continued, dataset.fps))
    return pairs


def recorded(frames: Frames, fps: float, folder: Path) -> Frames:
    """Frames as a dataset of recordings would hold them."""
    path = folder / "recorded.mp4"
    writer = VideoWriter(path, frames.shape[1], frames.shape[2], fps)
    for frame in frames:
        writer.append(frame)
    writer.close()
    return np.stack(list(read_frames(path, fps, 0, len(frames), len(frames))))


def through(frames: Frames, fps: float, how: str, folder: Path) -> Frames:
    """Frames as somebody sees them who got them in a file, one of `FILES`."""
    if how == "frames":
        return frames
    ending = ".gif" if how == "gif" else ".mp4"
    path = folder / f"clip{ending}"
    shown = write_and_read(frames, path, fps, SCALE)
    return write_and_read(halved(shown), path, fps) if "half" in how else shown


def write_and_read(frames: Frames, path: Path, fps: float, scale: int = 1) -> Frames:
    """What a file shows that `ClipWriter` wrote."""
    with ClipWriter(path, fps, scale) as clip:
        for frame in frames:
            clip.append(frame)
    return np.stack(list(read_file(path, path.suffix)))


def halved(frames: Frames) -> Frames:
    """Frames of half the height and width, as programs for videos make them."""
    height, width = frames.shape[1] // 2, frames.shape[2] // 2
    images = [av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24") for frame in frames]
    small = [image.reformat(width, height, interpolation="BICUBIC").to_ndarray(format="rgb24") for image in images]
    stacked: NDArray[np.uint8] = np.stack(small)
    return stacked
