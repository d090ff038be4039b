"""The codec and the pipe with MineRL's own environments, of 0.4.4 and of 1.0; none of them starts Minecraft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_minerl import FOLDER, NEW, OLD, ask, needs_new, needs_old

from worldsim.envs.games import minerl_worker
from worldsim.envs.games.minerl import HUMAN, SIMPLE, actions_of, minerl_game
from worldsim.errors import GameError


@pytest.mark.parametrize("python", [pytest.param(OLD, marks=needs_old), pytest.param(NEW, marks=needs_new)], ids=["0.4.4", "1.0"])
def test_every_environment_with_keys_is_translated_exactly(python: str, tmp_path: Path) -> None:
    found = ask(python, "spaces", minerl_worker.__file__)
    assert "MineRLTreechop-v0" in found and len(found) >= 8
    answers: dict[str, list[dict[str, Any]]] = {}
    for name, (described, samples) in found.items():
        actions = actions_of(described, mouse_limit=180.0)
        answers[name] = []
        for sample in samples:
            given = {**sample, **dict(actions.noops)}  # keys choose no item
            back = actions.to_action(actions.from_action(given))
            assert all(back[key] == given[key] for key in actions.binaries) and back.keys() == given.keys()
            np.testing.assert_array_equal(back["camera"], np.array(given["camera"], np.float32))
            answers[name].append({**back, "camera": back["camera"].tolist()})
    (tmp_path / "actions.json").write_text(json.dumps(answers))
    assert ask(python, "contains", tmp_path / "actions.json") == {name: [True] * 20 for name in answers}


@needs_old
def test_treechop_is_as_we_describe_it() -> None:
    described, _ = ask(OLD, "spaces", minerl_worker.__file__)["MineRLTreechop-v0"]
    assert set(actions_of(described).binaries) == set(SIMPLE)
    assert described["pov"] == [64, 64, 3] and described["max_steps"] == 8000
    assert described["actions"]["camera"] == {"kind": "camera", "low": -180.0, "high": 180.0}


@needs_new
def test_people_have_all_23_binary_actions() -> None:
    described, _ = ask(NEW, "spaces", minerl_worker.__file__)["MineRLHumanSurvival-v0"]
    assert set(actions_of(described).binaries) == set(HUMAN) and described["pov"] == [360, 640, 3]


@needs_old
def test_the_real_package_plays_over_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER / "fake"))
    game = minerl_game("minerl/navigate", "FakeMineRLNavigate-v0", python=OLD, binaries=SIMPLE, package="minerl_fake")
    env = game.start(height=32, width=32, max_tics=6, frame_skip=2)
    frame, info = env.reset(seed=0)
    assert frame.shape == (32, 32, 3) and frame.std() > 5 and -180 <= info["compass.angle"] <= 180
    rng, ended = np.random.default_rng(0), []
    for _ in range(3):
        vector = game.control_spec.check_vector(rng.random(game.control_spec.size))
        frame, reward, terminated, truncated, info = env.step(game.control_spec.to_action(vector))
        ended.append(truncated)
        assert frame.shape == (32, 32, 3) and reward == 0 and not terminated and info["inventory.dirt"] == 0
    assert ended == [False, False, True] and info["tics"] == 6
    env.close()
    with pytest.raises(GameError, match="choose an environment without VectorObf"):
        minerl_game("minerl/obf", "MineRLTreechopVectorObf-v0", python=OLD, binaries=SIMPLE).start()
