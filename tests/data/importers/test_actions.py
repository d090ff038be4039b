from __future__ import annotations

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data.importers.actions import continuous, digits, discrete
from worldsim.errors import DataError


def test_words_of_discrete_actions() -> None:
    actions = discrete(("none", "a", "up+left", "mouse.left+mouse.dx=-10", "mouse.dx=5"))
    spec = actions.spec
    assert spec.keys == ("a", "up", "left") and spec.buttons == ("left",) and spec.mouse_limit == (10.0, 0.0)
    held = [spec.from_vector(vector) for vector in actions.vectors(np.array([2, 0, 3, 4, 1]))]
    assert held == [
        Controls(keys={"up", "left"}),
        Controls(),
        Controls(mouse=(-10.0, 0.0), buttons={"left"}),
        Controls(mouse=(5.0, 0.0)),
        Controls(keys={"a"}),
    ]
    for wrong in (np.array([5]), np.array([-1]), np.array([0.5]), np.zeros((2, 2))):
        with pytest.raises(DataError, match="whole numbers from 0 to 4"):
            actions.vectors(wrong)


def test_words_of_vectors() -> None:
    actions = continuous(("mouse.dx=20", "space", "none", "mouse.right"), np.array([0.5, 1, 1, 1], np.float32))
    assert actions.spec.mouse_limit == (10.0, 0.0)
    held = [actions.spec.from_vector(v) for v in actions.vectors(np.array([[0.25, 0.2, 1, 0.9], [-0.5, 0.6, 0, 0]]))]
    assert held == [Controls(mouse=(5.0, 0.0), buttons={"right"}), Controls(keys={"space"}, mouse=(-10.0, 0.0))]
    for wrong in (np.zeros((2, 3)), np.full((2, 4), np.nan)):
        with pytest.raises(DataError, match="each needs 4 finite numbers"):
            actions.vectors(wrong)


@pytest.mark.parametrize("word", ["b+", "lefft", "mouse.dx=x", "mouse.dx=inf", "a=3", "mouse", ""])
def test_a_word_that_means_nothing_is_named(word: str) -> None:
    with pytest.raises(DataError, match="actions has "):
        discrete((word,))


def test_number_keys_where_there_are_no_words() -> None:
    assert digits(3) == ("none", "1", "2")
    with pytest.raises(DataError, match="there are 18 actions"):
        digits(18)
