"""`worldsim new`: from an environment to a world."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from worldsim.cli.app import main
from worldsim.data import Dataset
from worldsim.envs.games import GAMES, find_game
from worldsim.errors import GameError
from worldsim.world import read_config

from .conftest import Failure

HERE = str(Path(__file__).parents[1])  # where the environments of tests are found as envs.games.infer.test_infer
SLIDE = "envs.games.infer.test_infer:Slide"
DICTS = "envs.games.infer.test_infer:DictSlide"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture(autouse=True)
def forgotten_games() -> Iterator[None]:
    """Games that a test makes known are forgotten after it."""
    before = dict(GAMES)
    yield
    GAMES.clear()
    GAMES.update(before)


def test_the_first_stage_writes_a_file_and_its_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    wishes = ["--meaning", "a=away", "--size", "48x32", "--frames", "500"]
    main(["new", "mine/slide", "--env", SLIDE, "--stop-after", "spec", *wishes])
    folder = Path("mine/slide")
    assert {path.name for path in folder.iterdir()} == {"game.py", "picture.png", "controls.png"}
    said = capsys.readouterr().out
    assert "48x32 of observation" in said and "a = away" in said and "controls.png" in said
    spec = find_game("mine/slide/game.py")
    assert (spec.height, spec.width, spec.name) == (32, 48, "mine/slide")
    (folder / "game.py").write_text((folder / "game.py").read_text().replace("FPS = 16.6667", "FPS = 25"))
    main(["new", "mine/slide", "--env", SLIDE, "--stop-after", "spec"])
    assert "stays as it is" in capsys.readouterr().out and "FPS = 25" in (folder / "game.py").read_text()


def test_every_stage_is_resumed_and_ends_in_a_world_with_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, with networks as small as those of the smoke test, so that it takes seconds."""
    from worldsim.presets import smoke_test

    monkeypatch.setattr(sys, "argv", ["worldsim", "new", "slide", "--budget", "6s"])
    given = ["new", "slide", "--env", SLIDE, "--budget", "6s", "--no-compile", "--processes", "1"]
    main([*given, "--frames", "400", "--eval-frames", "240", "--stop-after", "spec"])
    file = Path("slide/game.py")
    text = file.read_text().replace("import Collection, any_game", "import Collection, any_game, smoke_test")
    file.write_text(text.replace("CONFIG = any_game(SPEC, window=12, frames=16)", "CONFIG = smoke_test(any_game(SPEC))"))
    assert smoke_test.__name__ in file.read_text()
    main([*given, "--stop-after", "collect"])
    recorded = Dataset("slide/data").fingerprint
    assert not Path("slide/world").exists() and Dataset("slide/data", "eval").total_frames >= 240
    main([*given, "--stop-after", "train"])
    assert Path("slide/world/config.json").is_file() and not Path("slide/eval").exists()
    main([*given, "--json", "figures.json"])
    assert Dataset("slide/data").fingerprint == recorded, "nothing was recorded twice"
    card = Path("slide/world/README.md").read_text()
    assert card.startswith("# slide") and "`a` (left)" in card and "| model |" in card and "worldsim new slide" in card
    assert json.loads(Path("figures.json").read_text())["world"]["name"] == "slide"
    main(["eval", "slide/world", "--game", "slide/game.py", "--clips", "2", "--horizons", "1", "2", "--dreams", "1"])
    assert {path.name for path in Path("slide/eval").iterdir()} >= {"figures.json", "sheet.png", "clip.mp4"}
    config = read_config(Path("slide/world"))
    assert config.source.startswith("slide/game.py:SPEC (sha256 ") and config.source == Dataset("slide/data").info.source


def test_the_smoke_test_leaves_only_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    main(["new", "dicts", "--env", DICTS, "--smoke", "--processes", "1"])
    assert "the smoke test passed" in capsys.readouterr().out
    assert {path.name for path in Path("dicts").iterdir()} == {"game.py", "picture.png", "controls.png"}
    assert 'source="observation:view"' in Path("dicts/game.py").read_text()


def test_a_person_can_play_for_the_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    given = ["new", "slide", "--env", SLIDE, "--human", "--frame-skip", "1", "--frames", "150", "--eval-frames", "70"]
    main([*given, "--stop-after", "collect", "--no-compile"])
    assert {episode.policy for episode in Dataset("slide/data").episodes} == {"human"}
    assert Dataset("slide/data", "eval").total_frames and Dataset("slide/data", "train").total_frames
    recorded = Dataset("slide/data").fingerprint
    main([*given, "--stop-after", "collect", "--no-compile"])
    assert Dataset("slide/data").fingerprint == recorded, "there was enough"


@pytest.mark.slow
@pytest.mark.parametrize(
    "env", ["CartPole-v1", "Pendulum-v1", "Taxi-v4", "MiniGrid-DoorKey-5x5-v0", "CarRacing-v3", "ALE/Breakout-v5", "crafter:Env"]
)
def test_games_of_others_pass_the_smoke_test(env: str, capsys: pytest.CaptureFixture[str]) -> None:
    old = ["--old-gym"] if env.startswith("crafter") else []
    main(["new", "theirs", "--env", env, "--smoke", *old])
    assert "the smoke test passed" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="MiniWorld needs a screen: apt install xvfb")
def test_a_game_that_needs_a_screen_passes_under_xvfb() -> None:
    pytest.importorskip("miniworld")
    command = ["xvfb-run", "-a", sys.executable, "-m", "worldsim", "new", "theirs", "--env", "MiniWorld-Hallway-v0", "--smoke"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0 and "the smoke test passed" in run.stdout, run.stderr[-2000:]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["mine/slide"], "env was empty"),
        (["../slide", "--env", SLIDE], "name was '../slide'"),
        (["mine/slide", "--env", "NoSuchGame-v0"], "Check the name"),
        (["mine/slide", "--env", "envs.games.infer.test_infer:Frozen"], "shows the same picture in all"),
        (["mine/slide", "--env", "envs.games.infer.test_infer:Broken"], "failed under random play: ValueError: it broke"),
        (["mine/slide", "--env", SLIDE, "--size", "48by32"], "size was '48by32'"),
        (["mine/slide", "--env", SLIDE, "--size", "50x32"], "multiples of 16"),
        (["mine/slide", "--env", SLIDE, "--crop", "1", "2"], "four numbers"),
        (["mine/slide", "--env", SLIDE, "--crop", "0", "0", "900", "48"], "the game shows 96x64"),
        (["mine/slide", "--env", SLIDE, "--rename", "a"], "pairs such as d=w"),
        (["mine/slide", "--env", SLIDE, "--rename", "x=w"], "the keys are: a, d"),
        (["mine/slide", "--env", SLIDE, "--options", "[1]"], "JSON object"),
        (["mine/slide", "--env", SLIDE, "--policy", "nobody"], "unknown policy 'nobody'"),
        (["mine/slide", "--env", SLIDE, "--human", "--policy", "random"], "give only one"),
        (["mine/slide", "--env", SLIDE, "--budget", "1"], "with its unit"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["new", *given])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err and not Path("mine/slide/game.py").exists()


def test_the_file_of_another_environment_is_left_alone(failure: Failure) -> None:
    main(["new", "mine/slide", "--env", SLIDE, "--stop-after", "spec"])
    message = failure("new", "mine/slide", "--env", DICTS, "--stop-after", "spec")
    assert "of another environment" in message and "give another NAME" in message
    main(["new", "mine/slide", "--stop-after", "spec"])


def test_an_environment_of_a_file_is_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import sys\nsys.path.append({HERE!r})\nfrom envs.games.infer.test_infer import Slide as Own\n"
    Path("own.py").write_text(code)
    main(["new", "mine/slide", "--env", "own.py:Own", "--options", '{"lopsided": true}', "--stop-after", "spec"])
    monkeypatch.chdir(tmp_path.parent)
    env = find_game(str(tmp_path / "mine/slide/game.py")).start()
    assert (env.reset(seed=0)[0][0, 0] == 160).all()
    env.close()


def test_a_game_is_known_by_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    main(["new", "mine/slide", "--env", SLIDE, "--stop-after", "spec"])
    main(["collect", "--game", "mine/slide/game.py", "--frames", "160", "--eval-frames", "80", "--processes", "1"])
    assert Dataset("mine/slide/data").info.source.startswith("mine/slide/game.py:SPEC")
    env = gymnasium.make("WorldSim/Real-v0", game="mine/slide/game.py")
    assert env.reset(seed=0)[0].shape == (64, 96, 3)
    env.close()
    with pytest.raises(GameError, match="no file"):
        find_game("mine/slide/gone.py")


@pytest.fixture
def minerl(monkeypatch: pytest.MonkeyPatch) -> None:
    """This Python has the stub of MineRL."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(HERE) / "minerl/stub"), os.environ["PYTHONPATH"]]))


def test_a_game_of_minerl_is_written_without_starting_minecraft(minerl: None, failure: Failure) -> None:
    given = ["--python", sys.executable, "--stop-after", "spec"]
    main(["new", "minerl/treechop", "--env", "MineRLTreechop-v0", *given])
    game = find_game("minerl/treechop/game.py")
    assert (game.name, game.height, game.width, game.fps) == ("minerl/treechop", 64, 64, 10)
    assert game.control_spec.keys == ("w", "s", "a", "d", "space", "shift", "ctrl") and game.meanings["mouse.left"] == "attack"
    main(["new", "minerl/human", "--env", "MineRLHumanSurvival-v0", "--policy", "restless", *given])
    game, text = find_game("minerl/human/game.py"), Path("minerl/human/game.py").read_text()
    assert (game.height, game.width) == (80, 128) and game.control_spec.size == 25 and game.policies == {"restless": 1.0}
    assert "binaries=HUMAN" in text and "\n\n\n" not in text
    assert "rest was given with python" in failure("new", "other", "--env", "MineRLTreechop-v0", "--rest", "1", *given)
    assert "No registered env with id: Nothing-v0" in failure("new", "other", "--env", "Nothing-v0", *given)
    assert not Path("other/game.py").exists()


@pytest.mark.slow
def test_all_stages_run_with_minerl(minerl: None) -> None:
    main(["new", "minerl/long", "--env", "MineRLLong-v0", "--python", sys.executable, "--smoke", "--processes", "1"])
    assert [path.name for path in Path("minerl/long").iterdir()] == ["game.py"]
