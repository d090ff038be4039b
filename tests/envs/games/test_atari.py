"""Positions out of the memory of Atari consoles, against the pixels of the screen."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from worldsim.controls import ControlSpec
from worldsim.envs.games.any import Adapted, Picture
from worldsim.envs.games.atari import KNOWN, Follow, known, objects, states
from worldsim.envs.games.infer.controls import wire
from worldsim.envs.games.policies import StickyRandom
from worldsim.errors import GameError

pytest.importorskip("ale_py")
WHOLE = Picture(210, 160)
COLOURS = {
    "pong": {"ball": (236, 236, 236), "player": (92, 186, 92), "enemy": (213, 130, 74)},
    "breakout": {"ball": (200, 72, 72), "player": (200, 72, 72)},
}
PARTS = {  # rows and columns in which nothing else has that colour
    "pong": {name: (34, 194, 0, 160) for name in ("ball", "player", "enemy")},
    "breakout": {"ball": (93, 189, 8, 152), "player": (189, 193, 8, 152)},
}


def play(game: str, steps: int = 500) -> Iterator[tuple[gymnasium.Env, np.ndarray]]:  # type: ignore[type-arg]
    """Screens of random play; in Breakout a new ball is served now and then."""
    name = {"pong": "Pong", "breakout": "Breakout"}[game]
    env = gymnasium.make(f"ale_py:ALE/{name}-v5", repeat_action_probability=0.0)
    rng, action = np.random.default_rng(0), 0
    screen, _ = env.reset(seed=0)
    for t in range(steps):
        if t % 5 == 0:
            action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        screen, _, terminated, truncated, _ = env.step(1 if game == "breakout" and t % 30 == 0 else action)
        if terminated or truncated:
            screen, _ = env.reset()
        if t >= 30:
            yield env, screen
    env.close()


def seen(screen: np.ndarray, game: str, name: str) -> tuple[int, int, int, int] | None:
    """Box of the pixels of a thing's colour."""
    top, bottom, left, right = PARTS[game][name]
    rows, columns = np.nonzero((screen[top:bottom, left:right] == COLOURS[game][name]).all(-1))
    if not len(rows):
        return None
    return int(columns.min()) + left, int(rows.min()) + top, int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


@pytest.mark.parametrize("game", KNOWN)
def test_memory_tells_what_the_screen_shows(game: str) -> None:
    errors: dict[str, list[float]] = {name: [] for name in KNOWN[game].sprites}
    unseen = 0
    for env, screen in play(game):
        told = {name: box for name, *box in objects(env, WHOLE)}
        for name in errors:
            shown = seen(screen, game, name)
            if shown is None or name not in told:
                unseen += shown is not None and name not in told
                continue
            sizes = shown[2:] == tuple(told[name][2:])
            if sizes:  # not half hidden behind something, or beside something of the same colour
                errors[name].append(max(abs(a - b) for a, b in zip(told[name][:2], shown[:2], strict=True)))
    for name, found in errors.items():
        assert len(found) > 20, f"{name} was seen {len(found)} times"
        assert np.mean(np.array(found) <= 2) > 0.95, f"{name} is {np.mean(found):.1f} pixels off"
    assert unseen <= 5


def test_positions_are_in_pixels_of_the_frame() -> None:
    half = Picture(96, 80, (1, 0, 193, 160), "max")
    checked = 0
    for env, screen in play("pong", 200):
        at = states(env, half)
        assert set(at) == set(KNOWN["pong"].states)
        if at["ball_x"] >= 2 and seen(screen, "pong", "ball") is not None:
            x, y = int(at["ball_x"]), int(at["ball_y"])
            around = half(screen)[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            assert around.min(-1).max() > 200, "the ball is white, and where it is said to be"
            checked += 1
    assert checked > 20


@pytest.mark.parametrize(("game", "keys"), [("Pong", {"d": "w", "a": "s"}), ("Breakout", {})])
def test_following_the_ball_scores_more_than_chance(game: str, keys: dict[str, str]) -> None:
    env = gymnasium.make(f"ale_py:ALE/{game}-v5", repeat_action_probability=0.0)
    wiring = wire(env).renamed(keys)
    played = Adapted(env, WHOLE, wiring.spec, wiring.actions, fps=15, states=states)
    scores = []
    for policy in (Follow(wiring.spec), StickyRandom(wiring.spec)):
        policy.reset(np.random.default_rng(0))
        _, info = played.reset(seed=0)
        score = 0.0
        for _ in range(700):
            _, reward, terminated, _, info = played.step(policy.act(info))
            score += reward
            if terminated:
                _, info = played.reset()
        scores.append(score)
    assert scores[0] > scores[1] + 2
    env.close()


def test_a_game_without_a_paddle_is_refused() -> None:
    with pytest.raises(GameError, match="w and s, or a and d"):
        Follow(ControlSpec(keys=("space",)))


def test_what_is_not_on_the_screen_has_no_place() -> None:
    env = gymnasium.make("ale_py:ALE/Breakout-v5")
    env.reset(seed=0)
    assert known(env) == "breakout" and states(env, WHOLE)["ball_x"] == -1
    assert [name for name, *_ in objects(env, WHOLE)] == ["player"]
    env.close()
    assert known(gymnasium.make("CartPole-v1")) is None
