from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import make_policy
from worldsim.envs.games.dodge import DODGE
from worldsim.errors import DataError
from worldsim.eval.replay import replay


@pytest.fixture
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("dodge")
    source = PolicySource("restless", partial(make_policy, "restless", DODGE.control_spec))
    collect(DODGE.start, [source], root, game=DODGE.name, frames=100, lossless=True, progress=False)
    return Dataset(root)


def test_the_game_shows_what_was_recorded(recorded: Dataset) -> None:
    longest = int(np.argmax(recorded.lengths))
    last = int(recorded.lengths[longest]) - 1
    frames, infos = zip(*replay(DODGE.start(), recorded, longest, last), strict=True)
    assert np.array_equal(np.stack(frames), recorded.frames(longest)) and [info["tics"] for info in infos] == list(
        range(last + 1)
    )
    assert len(list(replay(DODGE.start(), recorded, longest, 0))) == 1


def test_another_course_of_the_game_is_noticed(recorded: Dataset) -> None:
    last = int(recorded.lengths[0]) - 1
    recorded.episodes[0] = replace(recorded.episodes[0], seed=(recorded.episodes[0].seed or 0) + 1)
    with pytest.raises(DataError, match=rf"shows another frame {last} than was recorded.*another version"):
        list(replay(DODGE.start(), recorded, 0, last))


@pytest.mark.parametrize(
    ("changes", "reason"), [({"seed": None}, "was recorded without a seed"), ({"begun_at": 7}, "begins 7 frames after its seed")]
)
def test_episodes_that_do_not_begin_with_a_seed_are_refused(recorded: Dataset, changes: dict[str, Any], reason: str) -> None:
    recorded.episodes[0] = replace(recorded.episodes[0], **changes)
    with pytest.raises(DataError, match=f"cannot be played again: it {reason}"):
        next(replay(DODGE.start(), recorded, 0, 0))


def test_a_game_that_ends_early_is_noticed(recorded: Dataset) -> None:
    longest = int(np.argmax(recorded.lengths))
    with pytest.raises(DataError, match="shows another frame"):
        list(replay(DODGE.start(max_tics=2), recorded, longest, int(recorded.lengths[longest]) - 1))
