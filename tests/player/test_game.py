from __future__ import annotations

from pathlib import Path

import numpy as np
import pygame
import pytest

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.envs.games import find_game
from worldsim.envs.record import RecordDataset
from worldsim.errors import GameError
from worldsim.player.config import PlayConfig
from worldsim.player.game import GameScene
from worldsim.player.opening import play_scene


def scene(folder: Path, episodes: int = 2, frames: int = 1000) -> GameScene:
    game = find_game("toy/dodge")
    env = RecordDataset(game.start(), folder, policy="human", game=game.name)
    about = {"title": game.name, "fps": game.fps, "meanings": dict(game.meanings)}
    return GameScene(env, game.control_spec, episodes=episodes, frames=frames, seed=3, **about)  # type: ignore[arg-type]


def test_what_is_played_is_recorded(tmp_path: Path) -> None:
    played = scene(tmp_path)
    key = played.spec.keys[0]
    played.restart()
    shown = [played.panes["game"].frame.copy()]
    for _ in range(3):
        played.advance(Controls(keys={key}))
        shown.append(played.panes["game"].frame.copy())
    played.after_end()
    played.advance(Controls())
    assert not played.done
    played.after_end()
    assert played.done and "episode 2 of 2, 4 frames recorded" in played.figures
    played.env.close()
    data = Dataset(tmp_path)
    assert [(episode.length, episode.seed, episode.policy) for episode in data.episodes] == [(3, 3, "human"), (1, 4, "human")]
    assert data.episode(0).actions[:, 0].tolist() == [1, 1, 1]
    assert np.abs(data.frames(0).astype(int) - np.stack(shown[:3])).mean() < 3


def test_the_window_closes_when_enough_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    played = scene(tmp_path, frames=5)
    play_scene(played, PlayConfig(speed=50.0, zoom=2))
    played.env.close()
    assert Dataset(tmp_path).total_frames == 5 and not pygame.display.get_init()


def test_actions_that_a_person_cannot_give(tmp_path: Path) -> None:
    with pytest.raises(GameError, match="actions of its own"):
        GameScene(None, None, title="CartPole-v1", fps=10, meanings={}, episodes=1, frames=1, seed=0)  # type: ignore[arg-type]
