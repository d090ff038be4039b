from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_SPEC

from worldsim.data import DatasetInfo, Recorder
from worldsim.studio.captioning import caption_dataset, segments
from worldsim.studio.pipeline import Studio
from worldsim.studio.scene import Scene


@pytest.fixture
def studio(tiny_studio_path: Path) -> Studio:
    """With random weights."""
    return Studio.from_pretrained(tiny_studio_path, device="cpu")


@pytest.fixture(scope="session")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one captioned dataset, four episodes of 14 frames 32x48 with the controls of the tiny worlds: bars that move."""
    root, rng = tmp_path_factory.mktemp("captioned") / "48x32", np.random.default_rng(0)
    with Recorder(root, DatasetInfo("doom/studio", TINY_SPEC, 32, 48, 8.75)) as recorder:
        for seed in range(4):
            recorder.begin(seed=seed)
            ground = rng.integers(0, 120, 3) + rng.integers(0, 9, (32, 48, 3))
            for t in range(14):
                frame = ground.astype(np.uint8)
                frame[8:24, 2 * t + 3 * seed : 2 * t + 3 * seed + 5] = 230
                recorder.append(frame, np.zeros(TINY_SPEC.size), 0.0, False, False)
            recorder.end()
    caption_dataset(root, scenes=lambda data, i: [Scene(place="basic")] * len(segments(data.episodes[i].length)), progress=False)
    return root.parent
