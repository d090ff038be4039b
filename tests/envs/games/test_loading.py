"""Games that are named by their file."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import pytest

from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import (
    GameSpec,
    beside,
    find_game,
    folder_of_game,
    is_path,
    known_game,
    make,
    recorded_game,
    source_hash,
)
from worldsim.envs.twin import TwinEnv
from worldsim.errors import GameError, WorldsimError
from worldsim.eval.objects import object_classes
from worldsim.presets import find_collection, find_preset

FILE = """
import gymnasium
import helper
from worldsim import ControlSpec, GameSpec
from worldsim.eval.objects import object_classes
from worldsim.presets import Collection, any_game

CONTROLS = ControlSpec(keys=("a",))


class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (32, 48, 3), "uint8")
    action_space = CONTROLS.action_space()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.low + helper.LEVEL, {}

    def step(self, action):
        return self.observation_space.low, 0.0, False, False, {}


SPEC = GameSpec(name="mine/file", make=Mine, control_spec=CONTROLS, height=32, width=48, fps=10.0)
HIDDEN = GameSpec(name="mine/file", make=lambda: Mine(), control_spec=CONTROLS, height=32, width=48, fps=10.0)
CONFIG = any_game(SPEC, window=7)
COLLECTION = Collection(frames=123)
"""


def first_pixel(game: GameSpec) -> int:
    return int(make(game).reset(seed=3)[0][0, 0, 0])


@pytest.fixture
def file_of_a_game(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("LEVEL = 9\n")
    path = tmp_path / "game.py"
    path.write_text(FILE)
    return path


def test_a_game_is_loaded_from_its_file(file_of_a_game: Path) -> None:
    spec = find_game(str(file_of_a_game))
    digest = hashlib.sha256(file_of_a_game.read_bytes()).hexdigest()[:16]
    assert spec.source == f"{file_of_a_game}:SPEC (sha256 {digest})" and source_hash(spec.source) == digest
    assert spec == find_game(f"{file_of_a_game}:SPEC")
    assert folder_of_game(str(file_of_a_game)) == file_of_a_game.parent and folder_of_game("toy/dodge") is None
    assert is_path(str(file_of_a_game)) and is_path("a:b") and not is_path("toy/dodge") and not is_path(spec)
    assert beside(str(file_of_a_game), "COLLECTION").frames == 123 and beside("toy/dodge", "COLLECTION") is None
    assert find_preset(str(file_of_a_game)).dynamics.model.window == 7 and find_collection(str(file_of_a_game)).frames == 123


def test_a_game_of_a_file_reaches_child_processes(file_of_a_game: Path) -> None:
    spec = find_game(str(file_of_a_game))
    assert pickle.loads(pickle.dumps(spec)) == spec
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(first_pixel, [spec]) == [9]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("gone.py", "there is no file"),
        ("game.py:NOTHING", "has no attribute 'NOTHING'"),
        ("game.py:CONTROLS", "it must be a GameSpec"),
        ("game.py:HIDDEN", "define it at the top of the file"),
        ("broken.py", "SyntaxError"),
        ("failing.py", "No module named 'nowhere'"),
    ],
)
def test_files_that_hold_no_game_are_refused(place: str, said: str, file_of_a_game: Path) -> None:
    (file_of_a_game.parent / "broken.py").write_text("SPEC = (\n")
    (file_of_a_game.parent / "failing.py").write_text("import nowhere\n")
    with pytest.raises(GameError, match=said):
        find_game(str(file_of_a_game.parent / place))


def test_what_trains_a_game_is_checked(file_of_a_game: Path) -> None:
    file_of_a_game.write_text(FILE + "CONFIG = 3\n")
    with pytest.raises(WorldsimError, match="it must be a TrainConfig"):
        find_preset(str(file_of_a_game))


def test_nothing_is_run_for_a_name_that_a_stranger_wrote(
    tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worlds and datasets name their game; only games that are registered already are found by such names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()\nSPEC = 3\n")
    for name in ("evil.py", "evil:SPEC", "evil.py:SPEC", str(tmp_path / "evil.py")):
        assert known_game(name) is None and not object_classes(name)
        with pytest.raises(GameError, match="is not registered"):
            recorded_game(name)
    shutil.copytree(tiny_world_path, tmp_path / "world")
    config = json.loads((tmp_path / "world" / "config.json").read_text())
    (tmp_path / "world" / "config.json").write_text(json.dumps({**config, "game": "evil.py", "source": "evil.py:SPEC"}))
    dream = DreamEnv(tmp_path / "world", device="cpu")
    dream.reset(seed=0)
    dream.close()
    with pytest.raises(GameError, match=r"Its file was .evil.py:SPEC.; loading that runs it"):
        TwinEnv(world=tmp_path / "world")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(GameError, match="must be a GameSpec"):
        find_game("evil.py")
    assert (tmp_path / "ran").exists(), "a file that a person names is run"
