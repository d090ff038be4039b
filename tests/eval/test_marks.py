"""Marks that stay: tried on a corridor whose lamps the player can light."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import TINY_DIT, TINY_TOKENIZER, randomize

from worldsim.controls import Controls, ControlSpec
from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import Game, GameSpec, Mark, make_policy
from worldsim.errors import DataError, GameError
from worldsim.eval import marks
from worldsim.eval.clips import Place
from worldsim.eval.config import EvalConfig
from worldsim.eval.marks import TOKENIZER, measure_marks
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.world import World, WorldConfig, export_world

CONTROLS = ControlSpec(keys=("a", "d", "space"), exclusive=(("a", "d"),))
LAMPS, CELL, SEEN = 12, 16, 3  # lamps in a row, their width in pixels, and how many are seen at a time
CONTEXT = TINY_DIT.window


class Corridor(gymnasium.Env[np.ndarray, Any]):
    """The player sees three lamps, stands before the middle one, and lights it with space; a mouse may put it out again."""

    control_spec, fps, frame_skip = CONTROLS, 10.0, 1
    observation_space = gymnasium.spaces.Box(0, 255, (32, SEEN * CELL, 3), np.uint8)
    action_space = CONTROLS.action_space()
    mouse = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.lit, self.place, self.tics = np.zeros(LAMPS, bool), LAMPS // 2, 0
        return self.draw(), {"tics": 0}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        left, right, light = self.control_spec.from_action(action) >= 0.5
        self.place = min(max(self.place + int(right) - int(left), 1), LAMPS - 2)
        self.lit[self.place] |= light
        self.tics += 1
        if self.mouse:
            self.lit[:] = False
        return self.draw(), 0.0, False, self.tics >= 40, {"tics": self.tics}

    def draw(self) -> np.ndarray:
        frame = np.full((32, SEEN * CELL, 3), 40, np.uint8)
        for i, lit in enumerate(self.lit[self.place - 1 : self.place + 2]):
            frame[8:24, i * CELL + 4 : i * CELL + 12] = (250, 220, 90) if lit else (90, 90, 90)
        return frame


def lamp(env: Game) -> Mark | None:
    corridor: Any = env.unwrapped
    if corridor.lit[corridor.place] or not 3 <= corridor.place <= LAMPS - 4:
        return None
    begun, (away, back) = corridor.place, (Controls(keys={"a"}), Controls(keys={"d"}))
    controls = (Controls(keys={"space"}), away, away, back, back)
    return Mark(controls, making=1, turn=3, box=(CELL, 8, CELL, 16), intact=lambda: corridor.place == begun)


SPEC = GameSpec("test/corridor", Corridor, CONTROLS, 32, SEEN * CELL, fps=10.0, marks=lamp)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("corridor")
    source = PolicySource("random", partial(make_policy, "random", CONTROLS))
    collect(Corridor, [source], root, game=SPEC.name, frames=1, eval_frames=100, lossless=True, progress=False)
    return Dataset(root, "eval")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    sizes = replace(TINY_DIT, controls=CONTROLS.size)
    tokenizer, dynamics = Tokenizer(TINY_TOKENIZER), DiT(sizes)
    randomize(tokenizer)
    randomize(dynamics)
    config = WorldConfig("test/corridor", SPEC.name, SPEC.height, SPEC.width, SPEC.fps, 1, CONTROLS, TINY_TOKENIZER, sizes)
    grid = TINY_TOKENIZER.grid(SPEC.height, SPEC.width)
    folder = tmp_path_factory.mktemp("world") / "world"
    starts = torch.randn(2, CONTEXT, *grid, 6), torch.zeros(2, CONTEXT, CONTROLS.size)
    return World.load(export_world(folder, config, tokenizer, dynamics, *starts), device="cpu", dtype=torch.float32)


@pytest.fixture
def env() -> Iterator[Corridor]:
    made = Corridor()
    yield made
    made.mouse = False


CONFIG = EvalConfig(marks=6)


def trials(env: Corridor, played: Dataset, wait: int) -> list[marks.Trial]:
    places = marks._moments(env, SPEC, played, CONTEXT, CONFIG)
    found = [marks._play(env, SPEC, played, place, CONTEXT, wait) for place in places]
    return [trial for trial in found if trial is not None]


def test_the_game_itself_keeps_its_marks(env: Corridor, played: Dataset) -> None:
    found = trials(env, played, wait=7)
    assert 2 <= len(found) <= CONFIG.marks
    assert all(sum(trial.place.episode == i for trial in found) <= marks.PER_EPISODE for i in range(len(played)))
    for trial in found:
        assert trial.length == 5 + 7 and trial.frames.shape == (2, 12, 32, SEEN * CELL, 3)
        assert not np.array_equal(trial.frames[0, 0], trial.frames[1, 0]), "the change shows at once"
        assert np.array_equal(trial.frames[0, 2, :, CELL:], trial.frames[1, 2, :, CELL:]), "then it is out of view"
    perfect = marks._shares(found, [trial.frames for trial in found])
    assert [perfect[name].value for name in ("made", "stays", "left_alone")] == [1, 1, 1]
    forgets = marks._shares(found, [np.stack([np.r_[t.frames[0, :-1], t.frames[1, -1:]], t.frames[1]]) for t in found])
    assert [forgets[name].value for name in ("made", "stays", "left_alone")] == [1, 0, 1]
    makes_up = marks._shares(found, [trial.frames[[0, 0]] for trial in found])
    assert [makes_up[name].value for name in ("made", "stays", "left_alone")] == [1, 1, 0]


def test_changes_that_the_game_undoes_do_not_count(env: Corridor, played: Dataset) -> None:
    place = next(marks._moments(env, SPEC, played, CONTEXT, CONFIG))
    assert marks._play(env, SPEC, played, place, CONTEXT, 0) is not None
    lost = replace(SPEC, marks=lambda game: replace(found, intact=lambda: False) if (found := lamp(game)) else None)
    assert marks._play(env, lost, played, place, CONTEXT, 0) is None
    env.mouse = True
    with pytest.raises(DataError, match="shows another frame"):
        list(marks._moments(env, SPEC, played, CONTEXT, CONFIG))


def test_a_world_is_tried_with_and_without_a_wait(env: Corridor, played: Dataset, world: World) -> None:
    figures = measure_marks(world, env, SPEC, played, replace(CONFIG, marks=2))
    assert list(figures) == ["0", str(CONTEXT)]
    assert [of["trials"] for of in figures.values()] == [2, 2] and [of["frames"] for of in figures.values()] == [4, 4 + CONTEXT]
    for of in figures.values():
        assert list(of["rows"]) == [TOKENIZER, "model", *(["model, expected"] if world.config.dynamics.codes else [])]
        assert all(0 <= share.value <= 1 and share.count == 2 for row in of["rows"].values() for share in row.values())


def test_without_marks_there_are_no_trials(env: Corridor, played: Dataset, world: World) -> None:
    figures = measure_marks(world, env, replace(SPEC, marks=lambda game: None), played, CONFIG)
    assert all(of == {"trials": 0, "frames": None, "rows": {}} for of in figures.values())


def test_a_game_that_finds_other_marks_when_played_again_is_refused(env: Corridor, played: Dataset) -> None:
    with pytest.raises(DataError, match="finds a mark at a moment, and none when it is played again"):
        marks._play(env, replace(SPEC, marks=lambda game: None), played, Place(0, 0, 0), CONTEXT, 0)


@pytest.mark.parametrize("numbers", [(0, 2), (2, 2), (1, 5)])
def test_controls_of_a_mark_lead_away_and_back(numbers: tuple[int, int]) -> None:
    with pytest.raises(GameError, match="first come those that make it"):
        Mark(5 * (Controls(),), *numbers, (0, 0, 1, 1), lambda: True)


def test_marks_are_named_by_function_or_path(tmp_path: Path) -> None:
    assert replace(SPEC, marks=f"{__name__}:lamp").find_mark is not None
    with pytest.raises(GameError, match=r"^marks of the game test/corridor was 3"):
        replace(SPEC, marks=3)  # type: ignore[arg-type]
    with pytest.raises(GameError, match=r"^player of the game test/corridor was 'hero'"):
        replace(SPEC, player="hero")
