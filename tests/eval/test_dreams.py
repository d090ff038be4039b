from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.errors import DataError
from worldsim.eval.clips import Place
from worldsim.eval.config import EvalConfig
from worldsim.eval.dreams import draw_dreams, longest
from worldsim.world import World

CONFIG = EvalConfig(pictured=2, sheet_frames=16, sheet_every=4)


def test_the_longest_episodes_are_shown_from_their_beginning(recorded: Dataset) -> None:
    assert longest(recorded, 4, 12, 5) == [Place(0, 0, 12), Place(2, 0, 10), Place(1, 0, 5)]  # 20, 14 and 9 frames long
    assert longest(recorded, 9, 99, 5) == [Place(0, 0, 11), Place(2, 0, 5)]
    assert longest(recorded, 4, 99, 1) == [Place(0, 0, 16)]
    with pytest.raises(DataError, match=r"no held-out episode .* is 21 frames long; collect longer ones"):
        longest(recorded, 20, 99, 5)


def read(path: Path) -> np.ndarray:
    """Rows of a sheet, `(rows, columns, H, W, 3)`."""
    with av.open(str(path)) as picture:
        (frame,) = picture.decode(video=0)
    sheet = frame.to_ndarray(format="rgb24")[::2, ::2].astype(int)
    return sheet.reshape(len(sheet) // 32, 32, -1, 48, 3).transpose(0, 2, 1, 3, 4)


def test_a_dream_lies_below_its_recording(tiny_world: World, recorded: Dataset, tmp_path: Path) -> None:
    draw_dreams(tiny_world, recorded, tmp_path / "dreams.png", CONFIG)
    sheet = read(tmp_path / "dreams.png")
    assert sheet.shape == (4, 5, 32, 48, 3)
    shown = sheet[:, :, 0, 0, 0].tolist()
    assert shown[0] == [12, 28, 44, 60, 76]  # row t of episode 0 is grey 4 t, and the context ends with row 3
    assert shown[2] == [172, 188, 204, 0, 0]  # episode 2 has 14 frames
    assert (sheet[0, 0] == sheet[1, 0]).all() and (sheet[2, 0] == sheet[3, 0]).all()  # both begin with the last real frame
    assert all((sheet[row, column] != sheet[row + 1, column]).any() for row in (0, 2) for column in range(1, 5))


def test_the_sheet_follows_the_seed(tiny_world: World, recorded: Dataset, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        draw_dreams(tiny_world, recorded, tmp_path / f"{name}.png", replace(CONFIG, seed=seed))
    one, same, other = (read(tmp_path / f"{name}.png") for name in "abc")
    assert (one == same).all() and (one != other).any()
