"""Records episodes for the data tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldsim.data import DatasetInfo, Recorder


def noise(rng: np.random.Generator, dataset: DatasetInfo, steps: int) -> np.ndarray:
    """Smooth moving pictures with small saturated spots, about as hard to encode as a game."""
    h, w, _ = dataset.frame_shape
    y, x, t = np.mgrid[:h, :w, :steps].astype(np.float32)
    channels = [128 + 60 * np.sin(x / 5 + t / 3 + c) * np.cos(y / 7 - c) for c in range(3)]
    frames = np.stack(channels, -1).transpose(2, 0, 1, 3) + rng.normal(0, 3, (steps, h, w, 3))
    for t, frame in enumerate(frames):
        frame[h // 2 : h // 2 + 2, (t % (w - 2)) : (t % (w - 2)) + 2] = (250, 30, 20)
    return frames.clip(0, 255).astype(np.uint8)


def record(recorder: Recorder, steps: int, seed: int = 0, **labels: Any) -> dict[str, np.ndarray]:
    """Records one episode that terminates at its last step; returns what went in."""
    rng = np.random.default_rng(seed)
    spec = recorder.info.control_spec
    frames = noise(rng, recorder.info, steps)
    keys, buttons = rng.integers(2, size=(steps, len(spec.keys))), rng.integers(2, size=(steps, len(spec.buttons)))
    mouse = rng.uniform(-1, 1, (steps, 2)) * spec.mouse_limit if spec.has_mouse else np.zeros((steps, 0))
    actions = np.concatenate([keys, mouse, buttons], axis=1).astype(np.float32)
    rewards = rng.normal(size=steps).astype(np.float32)
    recorder.begin(seed=seed, **labels)
    for t in range(steps):
        recorder.append(frames[t], actions[t], float(rewards[t]), t == steps - 1, False)
    recorder.end()
    return {"frames": frames, "actions": actions, "rewards": rewards}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def append(recorder: Recorder, frame: Any = None, reward: Any = 0.0, terminated: Any = False, state: Any = None) -> None:
    frame = np.zeros(recorder.info.frame_shape, np.uint8) if frame is None else frame
    recorder.append(frame, np.zeros(recorder.info.control_spec.size), reward, terminated, False, state)
