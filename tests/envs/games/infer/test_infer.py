"""What is found out of whole environments, and the file that is written of it."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.envs.games import find_game
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.atari import KNOWN
from worldsim.envs.games.infer import Found, Source, Wishes, describe, infer
from worldsim.envs.games.infer.controls import wire
from worldsim.envs.games.infer.opening import open_source
from worldsim.envs.games.infer.play import mirrors, play_at_random, still_actions
from worldsim.envs.games.infer.write import write_game
from worldsim.errors import ControlError, GameError
from worldsim.presets import find_collection, find_preset
from worldsim.train.config import TrainConfig

HERE = "envs.games.infer.test_infer"
QUICK = Wishes(episodes=3, seconds=1.0)


class Slide(gymnasium.Env[Any, Any]):
    """A square that goes left and right on an empty field; after 80 steps time is up.

    Args:
        lopsided: a wall on one side, so that left and right are not the same.
    """

    observation_space = gymnasium.spaces.Box(0, 255, (64, 96, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)
    metadata = {"render_fps": 50}  # noqa: RUF012

    def __init__(self, lopsided: bool = False) -> None:
        self.lopsided = lopsided

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "LEFT", "RIGHT"]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t = 40, 0
        return self._draw(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.x = min(max(self.x + (0, -1, 1)[action], 0), 80)
        self.t += 1
        return self._draw(), float(action == 2), False, self.t >= 80, {}

    def _draw(self) -> np.ndarray:
        frame = np.full((64, 96, 3), 30, np.uint8)
        frame[24:40, self.x : self.x + 16] = 220
        if self.lopsided:
            frame[:, :12] = 160
        return frame


class DictSlide(Slide):
    """The same among other observations."""

    observation_space = gymnasium.spaces.Dict(  # type: ignore[assignment]
        place=gymnasium.spaces.Box(0, 100, (1,)), view=gymnasium.spaces.Box(0, 255, (64, 96, 3), np.uint8)
    )

    def _draw(self) -> Any:
        return {"place": np.array([self.x], np.float32), "view": super()._draw()}


class Frozen(Slide):
    """Always shows the same."""

    def _draw(self) -> np.ndarray:
        return np.full((64, 96, 3), 30, np.uint8)


class Broken(Slide):
    """Breaks in the middle of an episode."""

    def step(self, action: int) -> Any:
        if self.t == 20:
            raise ValueError("it broke\nin many lines")
        return super().step(action)


class Fleeting(Slide):
    """Ends at once."""

    def step(self, action: int) -> Any:
        frame, reward, _, _, info = super().step(action)
        return frame, reward, self.t >= 2, False, info


class Untidy(Slide):
    """Warns at every step, takes no options, tells a rate that cannot be, and cannot be closed."""

    metadata = {"render_fps": 10**6}  # noqa: RUF012

    def reset(self, seed: int | None = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)

    def step(self, action: int) -> Any:
        warnings.warn("careful", stacklevel=1)
        return super().step(action)

    def close(self) -> None:
        raise RuntimeError("no window to close")


def written(found: Found, folder: Path) -> Path:
    file = folder / "game.py"
    file.write_text(write_game(found, "worldsim new mine/slide --env x", 4000, 600, found.policies))
    return file


def test_everything_of_a_plain_game_is_found(tmp_path: Path) -> None:
    found = infer("mine/slide", Source(f"{HERE}:Slide"), QUICK)
    assert found.wiring.spec.keys == ("a", "d") and found.wiring.spec.exclusive == (("a", "d"),)
    assert found.look.picture == Picture(64, 96) and not found.look.small
    assert (found.fps, found.repeat, found.frame_skip) == (50 / 3, 3, 3)
    assert found.horizon == 27 and (found.window, found.frames) == (12, 16)
    assert found.symmetric and found.policies == {"random": 1.0}
    assert "mirroring left and right is sound" in describe(found)
    for (controls, clip), moved in zip(found.strips, (0, -30, 30), strict=True):
        places = clip[:, 30].max(-1).argmax(1)
        assert places[-1] - places[0] == moved, controls


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Frozen", "the same picture in all .* steps of random play.*wrap it"),
        ("Broken", "step.. of .*Broken failed under random play: ValueError: it broke. Mend"),
        ("Fleeting", "last 2 frames at most, and a world learns from 4 in a row"),
    ],
)
def test_what_no_world_can_be_learned_from_is_refused(name: str, said: str) -> None:
    with pytest.raises(GameError, match=said) as caught:
        infer("mine/slide", Source(f"{HERE}:{name}"), QUICK)
    assert "\n" not in str(caught.value)


def test_untidy_environments_are_no_obstacle() -> None:
    found = infer("mine/slide", Source(f"{HERE}:Untidy"), QUICK)  # a warning would be an error here
    assert (found.fps, found.repeat) == (10, 1), "a rate that cannot be is none"


def test_few_frames_are_left_out_where_episodes_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Slide.metadata, "render_fps", 200)
    found = infer("mine/slide", Source(f"{HERE}:Slide"), QUICK)
    assert (found.fps, found.repeat) == (50, 4) and any("many for a CPU" in note for note in found.notes)


def test_an_entry_of_a_dict_is_found() -> None:
    found = infer("mine/slide", Source(f"{HERE}:DictSlide"), QUICK)
    assert found.look.picture == Picture(64, 96, source="observation:view")


def test_wishes_come_first() -> None:
    wishes = Wishes(
        size=(32, 48), crop=(0, 0, 48, 72), resize="max", fps=30, frame_skip=2, rest=1, rename={"d": "right"},
        meanings={"right": "away"}, episodes=2, seconds=1.0,
    )  # fmt: skip
    found = infer("mine/slide", Source(f"{HERE}:Slide"), wishes)
    assert found.look.picture == Picture(32, 48, (0, 0, 48, 72), "max")
    assert (found.fps, found.repeat, found.frame_skip, found.horizon) == (15, 2, 2, 40)
    assert found.wiring.actions(Controls()) == 1 and found.wiring.meanings == {"right": "away"}
    for wrong, error in (({"rename": {"x": "y"}}, ControlError), ({"size": (10, 10)}, GameError), ({"rest": 9}, GameError)):
        with pytest.raises(error):
            infer("mine/slide", Source(f"{HERE}:Slide"), Wishes(episodes=1, seconds=0.1, **wrong))  # type: ignore[arg-type]


def test_the_file_is_the_game(tmp_path: Path) -> None:
    found = infer("mine/slide", Source(f"{HERE}:Slide", {"lopsided": True}), QUICK)
    assert not found.symmetric
    file = written(found, tmp_path)
    assert max(map(len, file.read_text().splitlines())) <= 110
    ast.parse(file.read_text())
    spec = find_game(str(file))
    assert spec.name == "mine/slide" and spec.meanings == {"a": "left", "d": "right"} and spec.max_tics == 81
    env = spec.start()
    frame, _ = env.reset(seed=0)
    assert frame[0, 0, 0] == 160, "the option was passed on"
    env.close()
    config = find_preset(str(file))
    assert isinstance(config, TrainConfig) and config.name == "mine/slide" and config.dynamics.frames == 16
    assert find_collection(str(file)).frames == 4000


@pytest.mark.parametrize(
    ("env", "lines"),
    [
        ("CartPole-v1", ['gymnasium.make("CartPole-v1", render_mode="rgb_array")', 'Keyed({"": None, "a": 0, "d": 1})']),
        ("Pendulum-v1", ['"dx", limit=10', "mouse_limit=(10.0, 0.0)"]),
        ("Taxi-v4", ['source="render"', '"p": "pickup passenger"']),
    ],
)
def test_games_of_gymnasium_are_written_and_run(env: str, lines: list[str], tmp_path: Path) -> None:
    found = infer("mine/other", Source(env), Wishes(episodes=2, seconds=0.5))
    file = written(found, tmp_path)
    for line in lines:
        assert line in file.read_text()
    game = find_game(str(file)).start()
    _, info = game.reset(seed=0)
    frame, *_ = game.step(Controls())
    assert game.observation_space.contains(frame) and info["tics"] == 0
    game.close()


def test_short_episodes_want_short_windows(tmp_path: Path) -> None:
    found = infer("mine/cart", Source("CartPole-v1"), Wishes(episodes=20, seconds=2.0))
    assert 4 <= found.frames <= 12 and 3 <= found.window < found.frames
    config = find_preset(str(written(found, tmp_path)))
    assert (config.dynamics.frames, config.dynamics.model.window) == (found.frames, found.window)


@pytest.fixture(scope="module")
def pong() -> Found:
    pytest.importorskip("ale_py")
    return infer("atari/pong", Source("ALE/Pong-v5"), Wishes(episodes=1, seconds=1.0))


def test_pong_is_found(pong: Found, tmp_path: Path) -> None:
    assert (pong.fps, pong.frame_skip, pong.atari) == (15, 4, "pong")
    assert set(pong.wiring.spec.keys) == {"w", "s"} and pong.wiring.spec.exclusive == (("w", "s"),)
    assert pong.wiring.actions(Controls()) == 0 and pong.wiring.meanings["w"] == "up"
    assert (pong.look.picture.height, pong.look.picture.width) == (96, 80) and pong.look.picture.resize == "max"
    assert pong.look.small and not pong.symmetric
    for told in ("pixels wide", "repeat_action_probability"):
        assert any(told in note for note in pong.notes)
    spec = find_game(str(written(pong, tmp_path)))
    assert spec.policies == KNOWN["pong"].policies and spec.states[:2] == ("ball_x", "ball_y")
    assert set(spec.objects) == {"ball", "player", "enemy"}
    assert find_preset(str(tmp_path / "game.py")).tokenizer.objective.hard_weight > 1


def test_every_option_moves_the_paddle_as_its_name_says(pong: Found) -> None:
    green = {}
    for controls, clip in pong.strips:
        paddle = (np.abs(clip.astype(int) - (92, 186, 92)).max(-1) < 30)[:, 20:]
        rows = [np.nonzero(frame)[0].mean() for frame in paddle[[0, 3]]]
        green["+".join(sorted(controls.keys))] = rows[1] - rows[0]
    assert green["w"] < -5 and green["s"] > 5 and abs(green[""]) < 1


def test_consoles_with_all_actions_have_five_keys() -> None:
    pytest.importorskip("ale_py")
    _, env, _ = open_source(Source("ALE/Breakout-v5", {"full_action_space": True, "repeat_action_probability": 0.0}))
    wiring = wire(env)
    assert set(wiring.spec.keys) == {"space", "w", "a", "s", "d"}
    assert sorted(map(sorted, wiring.spec.exclusive)) == [["a", "d"], ["s", "w"]]
    assert wiring.actions(Controls(keys={"w", "d", "space"})) == 14
    env.close()


def test_actions_without_effect_are_found() -> None:
    pytest.importorskip("minigrid")
    _, env, seen = open_source(Source("MiniGrid-Empty-5x5-v0"))
    still = still_actions(env, seen, 7)
    assert 6 in still and not {0, 1, 2} & set(still)
    env.close()


def test_random_play_is_measured() -> None:
    env = Slide()
    wiring = wire(env)
    game = Adapted(env, Picture(64, 96), wiring.spec, wiring.actions, fps=50)
    played = play_at_random(game, episodes=4)
    assert played.lengths.tolist() == [80] * 4 and played.cut == 80 and not played.finished.any()
    assert 0.2 < played.still < 0.9 and set(played.rewards) == {0.0, 1.0} and played.shortest() == 80
    assert all(clip.shape[1:] == (64, 96, 3) for clip in played.clips)


def test_mirroring_is_sound_only_if_everything_is_mirrored() -> None:
    for env, sound in ((Slide(), True), (Slide(lopsided=True), False)):
        wiring = wire(env)
        game = Adapted(env, Picture(64, 96), wiring.spec, wiring.actions, fps=50)
        assert mirrors(game, play_at_random(game, episodes=3).clips) is sound
    inverted = Keyed({"": 0, "a": 2, "d": 2})  # both ways lead to the right
    game = Adapted(Slide(), Picture(64, 96), wiring.spec, inverted, fps=50)
    straight = Adapted(Slide(), Picture(64, 96), wiring.spec, Keyed({"": 0, "a": 1, "d": 2}), fps=50)
    assert not mirrors(game, play_at_random(straight, episodes=3).clips)
