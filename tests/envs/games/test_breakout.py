from __future__ import annotations

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.envs.games import find_game


def test_the_keys_move_the_paddle_and_serve_a_ball_that_can_be_seen() -> None:
    pytest.importorskip("ale_py")
    game = find_game("atari/breakout")
    env = game.start(max_tics=400)
    places = {}
    for key in "ad":
        env.reset(seed=1)
        for _ in range(20):
            *_, info = env.step(Controls(keys={key}))
        places[key] = info["player_x"]
        assert info["ball_x"] == -1, "nobody has served"
    assert places["a"] < places["d"] - 30
    seen = []
    for _ in range(30):
        frame, *_, info = env.step(Controls(keys={"space"}))
        if 5 < info["ball_y"] < 90:
            seen.append(frame[round(info["ball_y"]), int(info["ball_x"])].max())
    assert len(seen) > 10 and np.min(seen) > 150
    env.close()
