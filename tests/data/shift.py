"""Recordings whose every frame shows the controls that produced it, so that a shift by one frame cannot go unseen."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data import Dataset

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(10.0, 10.0), buttons=("left",))
HEIGHT, WIDTH, BAND = 32, 80, 16
FPS = 20.0


def picture(vector: NDArray[np.float32], spec: ControlSpec = SPEC) -> NDArray[np.uint8]:
    """A frame with a grey band for each control, whose brightness is the control's value."""
    levels = 128 + 100 * np.asarray(vector) / spec.scale()
    bands = np.repeat(levels, BAND)
    return np.repeat(np.broadcast_to(bands, (HEIGHT, len(bands)))[..., None], 3, axis=2).astype(np.uint8)


def seen(frames: NDArray[np.uint8], spec: ControlSpec = SPEC) -> NDArray[np.float32]:
    """The controls that frames `(T, H, W, 3)` show, `(T, A)`; frames may have been scaled."""
    grey = frames.mean(axis=(1, 3))  # (T, W)
    bands = grey.reshape(len(grey), spec.size, -1)
    middle = bands[..., bands.shape[2] // 4 : -(bands.shape[2] // 4)].mean(-1)
    return ((middle - 128) / 100 * spec.scale()).astype(np.float32)


def controls(steps: int, seed: int = 0, spec: ControlSpec = SPEC) -> NDArray[np.float32]:
    """Random vectors `(steps, A)`; motions are multiples of half a degree."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(2, size=(steps, len(spec.keys)))
    mouse = rng.integers(-8, 9, size=(steps, 2)) if spec.has_mouse else np.zeros((steps, 0))
    return np.concatenate([keys, mouse, rng.integers(2, size=(steps, len(spec.buttons)))], 1).astype(np.float32)


def frames_after(vectors: NDArray[np.float32], spec: ControlSpec = SPEC) -> NDArray[np.uint8]:
    """Frames `(T, H, W, 3)` of a recording in which the controls of row t produce frame t + 1."""
    return np.stack([picture(vector, spec) for vector in [np.zeros(spec.size, np.float32), *vectors[:-1]]])


def save_video(path: Path, frames: NDArray[np.uint8], fps: float = FPS) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps), options={"crf": "8", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def check_shift(root: Path, spec: ControlSpec = SPEC) -> Dataset:
    """Every frame of a dataset shows the controls that `Dataset.clips` puts at it; returns the dataset."""
    dataset = Dataset(root)
    order = [spec.names.index(name) for name in dataset.spec.names]  # ours may stand in another order
    for i, length in enumerate(dataset.lengths):
        clip = dataset.clips([i], [0], int(length))
        shown = seen(clip.frames[0], spec)[1:, order]
        errors = np.abs(shown - clip.controls[0, 1:]) / spec.scale()[order]  # of the largest motion
        assert len(shown) and errors.max() < 0.1, f"episode {i} is shifted"
        assert np.ptp(clip.controls[0, 1:], axis=0).min() > 0, "the recording must vary, or a shift would not show"
    return dataset
