"""The toy game Dodge: its rules, and that left and right are alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env

from worldsim.controls import Controls
from worldsim.envs.games.dodge import DODGE, DodgeEnv

MIDDLE = 1  # a seed that begins in the third lane


def play(seed: int, *keys: str) -> Iterator[tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
    env = DodgeEnv()
    env.reset(seed=seed)
    for key in keys:
        yield env.step(DODGE.control_spec.to_action(DODGE.control_spec.to_vector(Controls(keys={key} if key else set()))))


def test_dodge_follows_its_rules() -> None:
    check_env(DodgeEnv(render_mode="rgb_array"), skip_render_check=True)
    (first, *_), *_, last = play(MIDDLE, "", "", "", "")
    assert [step[2] for step in play(MIDDLE, "", "", "", "")] == [False, False, False, True], "who rests is hit"
    x = int(last[4]["player"])
    assert (first[24:, x : x + 8] == (60, 120, 240)).all() and (first[6:14, x : x + 8] == (230, 60, 40)).all()
    sides = [[step[4]["player"] for step in play(MIDDLE, *keys)] for keys in ("dddddd", "aaaaaa")]
    assert max(sides[0]) == 40.0 and min(sides[1]) == 0.0, "walls stop the player"
    assert sides[0][0] - sides[1][0] == 16.0, "a goes left, d right"
    dodged = [step[1:4] for step in play(MIDDLE, *["a", "", "", "", "d", "", "", ""] * 25)]
    assert dodged == [(1.0, False, False)] * 199 + [(1.0, False, True)], "who moves on lives until the horizon"


def test_dodge_is_the_same_mirrored() -> None:
    def frames(keys: str, start: int) -> list[np.ndarray]:
        env = DodgeEnv()
        env.reset(seed=0)
        env._player = env._brick = start
        spec = DODGE.control_spec
        return [env.step(spec.to_action(spec.to_vector(Controls(keys={key}))))[0] for key in keys]

    for one, other in zip(frames("aaadda", 4), frames("dddaad", 1), strict=True):
        assert np.array_equal(one[:, ::-1], other)
