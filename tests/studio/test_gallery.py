from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.cli.app import main
from worldsim.errors import DataError
from worldsim.studio import gallery
from worldsim.studio.data_config import GalleryConfig
from worldsim.studio.evaluate import GIVEN, Held
from worldsim.studio.following import Example
from worldsim.studio.gallery import GAP, PAGE, SCALE, beside, make_gallery
from worldsim.studio.scene import Scene


def test_every_task_has_a_clip_beside_the_game(tiny_studio_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 255, (7, 2 * GIVEN + 3, 32, 48, 3), np.uint8)
    monkeypatch.setattr(gallery, "read_held", lambda *given: Held(clips, np.zeros((*clips.shape[:2], 5), np.float32), 80.0))
    monkeypatch.setattr(gallery, "examples", lambda *given: [Example("a red room", Scene("basic"), clips[0][:6])])
    (tmp_path / "data" / "48x32" / "meta").mkdir(parents=True)
    out = tmp_path / "gallery"
    main(["studio", "gallery", str(tiny_studio_path), "--data", str(tmp_path / "data"), "--out", str(out), "--device", "cpu"])
    text = (out / PAGE).read_text()
    names = ["prompt-1", "animate", "extend-after", "extend-before", "connect", "loop", "edit", "policy"]
    assert re.findall('src="(.*)[.]gif"', text) == names
    for name in names:
        with av.open(str(out / f"{name}.gif")) as file:
            frame = next(file.decode(video=0))
            assert (frame.width, frame.height) == (SCALE * (2 * 48 + GAP), SCALE * 32)


def test_the_game_is_to_the_left() -> None:
    both = beside(np.zeros((2, 4, 6, 3), np.uint8), np.full((2, 4, 6, 3), 9, np.uint8))
    assert both.shape == (2, 4, 12 + GAP, 3) and both[:, :, :6].max() == 0 and both[:, :, -6:].min() == 9


def test_missing_recordings_are_named(tiny_studio_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no recordings of 48x32"):
        make_gallery(GalleryConfig(str(tiny_studio_path), tmp_path, tmp_path / "out"))
