"""The real game beside a dream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.controls import Controls
from worldsim.envs.twin import TwinEnv
from worldsim.errors import ServeError
from worldsim.serve.engine import Engine
from worldsim.serve.play import RealGames
from worldsim.serve.seat import Frame, Seat
from worldsim.serve.twin import Real, SideBySide
from worldsim.world import World

from .web import WAIT, Join, Serve

Pair = tuple[Frame, Real]
SEED = 5


@pytest.fixture
def seat(dodge_world_path: Path) -> Iterator[tuple[Engine, Seat]]:
    world = World.load(dodge_world_path, device="cpu", dtype=torch.float32, runtime="torch")
    with Engine(world, limit=1, full_rate=False) as engine:
        yield engine, engine.join(seed=0)


def play(engine: Engine, seat: Seat, folder: Path, enough: Callable[[list[Pair]], bool]) -> list[Pair]:
    """All pairs until there are enough."""
    pairs: list[Pair] = []
    done = threading.Event()

    def take() -> None:
        if (pair := twin.take()) is not None:
            pairs.append(pair)
        if twin.failure or enough(pairs):
            done.set()

    twin = SideBySide(folder, engine.world, seat, SEED, take)

    def pass_on() -> None:
        if seat.newest is not None:
            twin.on_frame(seat.newest)

    seat.watch(pass_on)
    try:
        assert done.wait(WAIT) and twin.failure is None
    finally:
        twin.close()
    return pairs


def test_both_begin_at_the_same_moment_and_get_the_same_controls(seat: tuple[Engine, Seat], dodge_world_path: Path) -> None:
    engine, place = seat
    place.hold(["a"])
    pairs = play(engine, place, dodge_world_path, lambda pairs: len(pairs) >= 6)
    assert [dream.number for dream, _ in pairs] == list(range(len(pairs)))
    assert [real.survived for _, real in pairs] == list(range(len(pairs)))
    assert pairs[-1][0].controls.tolist() == place.spec.to_vector(Controls(keys={"a"})).tolist()

    game = TwinEnv(world=dodge_world_path)
    window = engine.world.config.dynamics.window
    still = place.spec.to_vector(Controls())
    seen = [game.reset(seed=SEED)[0], *(game.step(still)[0] for _ in range(window - 1))]
    assert np.array_equal(seen[-1], pairs[0][1].image)
    reference = World.load(dodge_world_path, device="cpu", dtype=torch.float32, runtime="torch")
    reference.set_starts(reference.encode(np.stack(seen))[None], torch.zeros(1, window, place.spec.size))
    dreamed = [reference.reset(seed=place.seed, start=0).frame[0]]
    for dream, real in pairs[1:]:
        frame, _, terminated, truncated, _ = game.step(dream.controls)
        if terminated or truncated:
            break
        assert np.array_equal(frame, real.image)
        dreamed.append(reference.step(dream.controls[None]).frame[0])
    for (dream, _), expected in zip(pairs[:3], dreamed, strict=False):
        assert np.abs(dream.image.astype(int) - expected.astype(int)).max() <= 2
    game.close()


def test_the_page_shows_both_and_goes_back(serve: Serve, join: Join, dodge_world_path: Path) -> None:
    served = serve(dodge_world_path, real_games=1)
    player, other = join(served), join(served)
    assert next(message for message in player.messages if message["type"] == "world")["real"]
    player.send("mode", name="side by side")
    both = player.until(lambda m: m["type"] == "frame" and len(m["panes"]) == 2)
    assert [pane["name"] for pane in both["panes"]] == ["dream", "real"] and len(both["pictures"]) == 2
    assert player.messages[-1]["mode"] == "side by side" and served.figure("worldsim_real_games") == 1
    other.send("mode", name="side by side")
    assert other.kind("notice")["text"] == "no more real games may run here now; try again later."
    other.socket.close()
    player.send("restart", prompt="")
    assert player.until(lambda m: m["type"] == "frame" and all(pane["survived"] == 0 for pane in m["panes"]))
    player.send("mode", name="dream")
    assert player.until(lambda m: m["type"] == "frame" and len(m["panes"]) == 1)
    player.socket.close()
    for _ in range(100):
        if not served.figure("worldsim_real_games"):
            break
        threading.Event().wait(0.1)
    assert served.figure("worldsim_real_games") == 0
    assert not served.said


def test_a_game_that_breaks_leaves_the_dream(
    serve: Serve, join: Join, dodge_world_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldsim.errors import GameError

    def broken(self: TwinEnv, *args: object, **options: object) -> None:
        raise GameError("the game does not start.")

    served = serve(dodge_world_path)
    player = join(served)
    monkeypatch.setattr(TwinEnv, "reset", broken)
    player.send("mode", name="side by side")
    assert player.until(lambda m: m["type"] == "notice")["text"] == "the game does not start."
    assert player.until(lambda m: m["type"] == "state")["mode"] == "dream"
    assert len(player.kind("frame")["panes"]) == 1


def test_games_are_counted() -> None:
    games = RealGames(2)
    games.begin()
    games.begin()
    with pytest.raises(ServeError, match="no more real games"):
        games.begin()
    games.end()
    games.begin()
    assert games.running == 2
