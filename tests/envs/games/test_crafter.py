"""Crafter with Gymnasium's interface, its player, and marks in its world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.controls import ControlSpec
from worldsim.envs.games import find_game, make_policy
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.crafter import MOVES, Crafter, Gatherer, marks
from worldsim.envs.games.dodge import DODGE
from worldsim.envs.games.infer.controls import wire
from worldsim.errors import GameError

pytest.importorskip("crafter")
SIZE = 80


@pytest.fixture(scope="module")
def game() -> Adapted:
    env = Crafter(size=SIZE)
    wiring = wire(env, None)
    return Adapted(env, Picture(SIZE, SIZE), wiring.spec, wiring.actions, fps=10.0)


def play(game: Adapted, seed: int, steps: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Frames and infos of play by the gatherer."""
    policy = Gatherer(game.control_spec)
    policy.attach(game)
    policy.reset(np.random.default_rng(seed))
    frame, info = game.reset(seed=seed)
    seen = [(frame, info)]
    for _ in range(steps):
        frame, _, terminated, truncated, info = game.step(game.control_spec.to_action(policy.act(info)))
        seen.append((frame, info))
        if terminated or truncated:
            break
    return seen


def test_gymnasium_accepts_it() -> None:
    check_env(Crafter(), skip_render_check=True)


def test_the_game_that_ships_is_what_would_be_found(game: Adapted) -> None:
    spec = find_game("crafter/reward")
    made = spec.start()
    assert isinstance(made, Adapted) and isinstance(made.actions, Keyed) and isinstance(game.actions, Keyed)
    assert spec.control_spec == game.control_spec and made.actions.table == game.actions.table
    assert np.array_equal(made.reset(seed=3)[0], game.reset(seed=3)[0])


def test_equal_seeds_give_equal_episodes(game: Adapted) -> None:
    one, again, other = play(game, 1, 120), play(game, 1, 120), play(game, 2, 5)
    assert len(one) == len(again) and all((a == b).all() for (a, _), (b, _) in zip(one, again, strict=True))
    assert not (one[5][0] == other[5][0]).all()


def test_the_player_gathers_and_builds(game: Adapted) -> None:
    play(game, 1, 150)
    reached = {name for name, count in game.env.unwrapped.inner._player.achievements.items() if count}  # type: ignore[attr-defined]
    assert {"collect_wood", "place_table", "make_wood_pickaxe"} <= reached


def test_a_mark_is_made_left_and_found_again(game: Adapted) -> None:
    policy = make_policy("worldsim.envs.games.crafter:Gatherer", game.control_spec)
    policy.attach(game)  # type: ignore[attr-defined]
    policy.reset(np.random.default_rng(1))
    frame, info = game.reset(seed=1)
    kinds = set()
    for _ in range(120):
        mark = marks(game)
        inner: Any = game.env.unwrapped
        if mark is not None and inner.can_change() not in kinds:
            kinds.add(inner.can_change())
            x, y, width, height = (round(v) for v in mark.box)
            box, before = (slice(y, y + height), slice(x, x + width)), frame
            place, was = inner.facing, inner.at(inner.facing)[0]
            frames = []
            for held in mark.controls:
                frame, _, over, _, info = game.step(game.control_spec.to_action(game.control_spec.to_vector(held)))
                frames.append(frame)
                if over:
                    return
            changed = np.abs(frames[0][box].astype(int) - before[box]).mean()
            assert changed > 6, "the box is where the change shows"
            if mark.intact():
                assert inner.at(place)[0] != was
                assert np.abs(frames[-1][box].astype(int) - frames[0][box]).mean() < changed / 2, "it stays in the game"
            turn = inner.inner._local_view._grid // 2
            assert mark.turn - 1 >= min(turn), "it goes out of view"
        frame, _, over, _, info = game.step(game.control_spec.to_action(policy.act(info)))
        if over:
            break
    assert len(kinds) >= 2


def test_other_games_are_refused() -> None:
    with pytest.raises(GameError, match=r"games of worldsim\.envs\.games\.crafter"):
        marks(DODGE.start())
    with pytest.raises(GameError, match=r"games of worldsim\.envs\.games\.crafter"):
        Gatherer(ControlSpec(keys=("a",))).attach(DODGE.start())


def test_moves_lead_where_they_say(game: Adapted) -> None:
    game.reset(seed=3)
    inner: Any = game.env.unwrapped
    for move, step in MOVES.items():
        before = inner.inner._player.pos.copy()
        free = inner.at(step)[0] in inner.walkable and inner.at(step)[1] is None
        game.step(game.control_spec.to_action(game.control_spec.to_vector(game.actions.held(inner.action_names.index(move)))))
        assert inner.facing == step and (inner.inner._player.pos - before).tolist() == [free * v for v in step]
