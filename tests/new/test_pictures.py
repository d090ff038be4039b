"""Pictures that show what the model will see, and what controls do."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.envs.games.infer import Found, Source, Wishes, infer
from worldsim.new.pictures import controls_sheet, picture_sheet, told


@pytest.fixture(scope="module")
def found() -> Found:
    """A white square on a dark field; see tests/envs/games/infer/test_infer.py."""
    wishes = Wishes(size=(32, 48), crop=(16, 0, 64, 96), episodes=2, seconds=1.0)
    return infer("mine/slide", Source("envs.games.infer.test_infer:Slide"), wishes)


def test_the_choice_of_a_picture_is_shown(found: Found) -> None:
    sheet = picture_sheet(found)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[1] <= 1700
    assert (sheet == 220).all(-1).sum() > 1000, "the square is seen"
    assert (sheet == 30 // 4).all(-1).any(), "what is cut off is dimmed"


def test_every_control_has_a_row(found: Found) -> None:
    sheet = controls_sheet(found)
    rows = np.flatnonzero((sheet == 220).all(-1).sum(1) > 50)  # text has some such pixels, too
    assert len(np.flatnonzero(np.diff(rows) > 20)) + 1 == len(found.strips) == 3


def test_controls_are_told_in_words() -> None:
    assert told(Controls(), {}) == "nothing"
    assert told(Controls(keys={"w", "a"}), {"w": "up"}) == "a, w (up)"
    assert told(Controls(mouse=(-10, 0)), {}) == "mouse dx -10 degrees a frame"
