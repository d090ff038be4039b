from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worldsim.data import Dataset, Recorder
from worldsim.data.format import VIDEO_KEY

from .moving_square import info
from .recording import append


def test_statistics_are_as_lerobot_computes_them(tmp_path: Path) -> None:
    with Recorder(tmp_path, info(lossless=True, state=("x",))) as recorder:
        rng, frames, rewards = np.random.default_rng(0), [], rng_rewards()
        for length in (20, 33):
            recorder.begin()
            for t in range(length):
                frames.append(rng.integers(0, 256, recorder.info.frame_shape, dtype=np.uint8))
                append(recorder, frames[-1], next(rewards), state=[t])
            recorder.end()
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    content = json.loads((tmp_path / "meta/info.json").read_text())
    assert set(stats) == set(content["features"])
    chosen = np.stack([frames[t] for t in (0, 16, 20, 36, 52)]) / 255
    pictures = stats[VIDEO_KEY]
    assert pictures["count"] == [5] and np.shape(pictures["mean"]) == (3, 1, 1)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(np.reshape(pictures[name], 3), getattr(chosen, name)(axis=(0, 1, 2)))
    for column, feature in (("rewards", "next.reward"), ("actions", "action.keyboard"), ("states", "observation.state")):
        values = getattr(Dataset(tmp_path).rows, column).reshape(53, -1)[:, : len(stats[feature]["mean"])].astype(np.float64)
        assert stats[feature]["count"] == [53]
        for name in ("min", "max", "mean", "std"):
            np.testing.assert_allclose(stats[feature][name], getattr(values, name)(axis=0), atol=1e-12)
    assert (stats["index"]["min"], stats["index"]["max"], stats["episode_index"]["mean"]) == ([0], [52], [33 / 53])


def rng_rewards() -> Iterator[float]:
    rng = np.random.default_rng(1)
    while True:
        yield float(rng.normal())
