from __future__ import annotations

import sys

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.envs.games import find_game
from worldsim.errors import GameError


def test_the_keys_move_the_paddle_and_the_ball_is_as_bright_as_on_the_screen() -> None:
    pytest.importorskip("ale_py")
    game = find_game("atari/pong")
    env = game.start(max_tics=400)
    heights = {}
    for key in "ws":
        env.reset(seed=1)
        for _ in range(30):
            frame, _, _, _, info = env.step({"keys": game.control_spec.to_vector(Controls(keys={key})).astype(np.int8)})
        heights[key] = info["player_y"]
    assert heights["w"] < heights["s"] - 30
    env.reset(seed=1)
    seen = []
    for _ in range(100):
        frame, _, _, truncated, info = env.step({"keys": np.zeros(2, np.int8)})
        if 10 < info["ball_x"] < 70 and 5 < info["ball_y"] < 90:
            seen.append(frame[round(info["ball_y"]), int(info["ball_x"])].min())
    assert truncated and len(seen) > 20 and np.min(seen) > 200
    env.close()


def test_without_ale_py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(GameError, match=r'Pong needs the ale-py package, .*pip install "worldsim-dit\[atari\]"'):
        find_game("atari/pong").start()
