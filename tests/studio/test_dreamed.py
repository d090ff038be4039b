from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.errors import DataError
from worldsim.studio.dreamed import FILES, GIVEN, LENGTH, make_pairs, recorded, through
from worldsim.studio.pipeline import Studio


def test_each_real_clip_gets_a_dream_like_it(studio: Studio, captioned: Path) -> None:
    roots = [captioned / "48x32"]
    pairs = make_pairs(studio, roots, 4, seed=3, progress=False)
    assert [pair.continued for pair in pairs] == [False, True, False, True]
    everything = np.concatenate([Dataset(roots[0]).frames(i) for i in range(4)])
    for pair in pairs:
        assert pair.real.shape == pair.dreamed.shape == (LENGTH, 32, 48, 3) and pair.fps == 8.75
        assert any(np.array_equal(pair.real, everything[t : t + LENGTH]) for t in range(GIVEN, len(everything) - LENGTH + 1))
        assert (pair.real != pair.dreamed).mean() > 0.5
    again = make_pairs(studio, roots, 4, seed=3, progress=False)
    assert all(np.array_equal(one.dreamed, other.dreamed) for one, other in zip(pairs, again, strict=True))


def test_files_keep_what_is_seen(tmp_path: Path, captioned: Path) -> None:
    frames = Dataset(captioned / "48x32").frames(0, 0, 4)
    assert np.abs(recorded(frames, 8.75, tmp_path).astype(int) - frames).mean() < 4
    for how, scale in zip(FILES, (1, 4, 2, 4), strict=True):
        shown = through(frames, 8.75, how, tmp_path)
        assert shown.shape == (4, 32 * scale, 48 * scale, 3)
        assert np.abs(shown[:, scale // 2 :: scale, scale // 2 :: scale].astype(int) - frames).mean() < 12


def test_episodes_that_are_too_short_are_one_error(studio: Studio, captioned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldsim.studio.dreamed.GIVEN", 40)
    with pytest.raises(DataError, match="no episode of 48 frames"):
        make_pairs(studio, [captioned / "48x32"], 1)
