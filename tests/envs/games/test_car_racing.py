from __future__ import annotations

import sys

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.envs.games import find_game, make_policy
from worldsim.errors import GameError


def test_gas_moves_the_car_and_the_mouse_turns_it() -> None:
    pytest.importorskip("Box2D")
    game = find_game("box2d/car-racing")
    env = game.start(max_tics=90)
    after = {}
    for name, held in {"still": Controls(), "gas": Controls(keys={"w"}), "turn": Controls(keys={"w"}, mouse=(10, 0))}.items():
        env.reset(seed=1)
        for _ in range(30):
            after[name], _, _, truncated, _ = env.step(held)
    assert truncated
    assert after["gas"].shape == (96, 96, 3) and (after["gas"] != after["still"]).mean() > 0.1
    assert (after["turn"] != after["gas"]).mean() > 0.1
    env.close()


def test_the_driver_uses_every_control_and_steers_towards_the_grey_road() -> None:
    spec = find_game("box2d/car-racing").control_spec
    player = make_policy("worldsim.envs.games.car_racing:Driver", spec)
    player.reset(np.random.default_rng(0))
    road = np.full((96, 96, 3), (100, 200, 100), np.uint8)
    road[:, 60:80] = 105
    given = np.stack([player.act({"frame": road}) for _ in range(400)])
    used = np.abs(given).max(0) > 0
    assert used[[i for i, control in enumerate(spec.names) if control != "mouse.dy"]].all()
    assert np.median(given[:, spec.names.index("mouse.dx")]) > 2


def test_without_box2d_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(GameError, match=r'CarRacing needs Box2D, .*pip install "worldsim-dit\[box2d\]"'):
        find_game("box2d/car-racing").start()
