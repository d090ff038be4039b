"""A tiny world of a game that is always installed, so that both can be played; and windows that nobody sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pygame
import pytest
import torch

from worldsim.envs.games import find_game
from worldsim.model.dit import DiT
from worldsim.player.config import PlayConfig
from worldsim.player.pacing import Pacer
from worldsim.player.replay import Replay
from worldsim.player.session import Session
from worldsim.player.window import Window
from worldsim.world import World, export_world

Open = Callable[..., Window]


@pytest.fixture(scope="session")
def dodge_world_path(tiny_world_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a world with random weights whose real game is "toy/dodge"; its context is 4 frames."""
    torch.manual_seed(1)
    game, world = find_game("toy/dodge"), World.load(tiny_world_path, device="cpu", dtype=torch.float32)
    config = replace(
        world.config,
        name=game.name,
        game=game.name,
        fps=game.fps,
        frame_skip=game.frame_skip,
        control_spec=game.control_spec,
        dynamics=replace(world.config.dynamics, controls=game.control_spec.size),
    )
    dynamics = DiT(config.dynamics)
    torch.nn.init.constant_(dynamics.end_head.bias, -8.0)  # dreams that last
    torch.nn.init.zeros_(dynamics.end_head.weight)
    starts, controls = torch.randn(3, 4, *world.latent_shape), torch.zeros(3, 4, game.control_spec.size)
    return export_world(tmp_path_factory.mktemp("worlds") / "dodge", config, world.tokenizer, dynamics, starts, controls)


@pytest.fixture
def open_window(tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens windows that nobody sees, on a world or on what is given; a test moves them on frame by frame."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    opened: list[Window] = []

    def open_window(world: Path = tiny_world_path, replay: Path | None = None, **options: Any) -> Window:
        config = PlayConfig("" if replay else str(world), device="cpu", recordings=tmp_path, replay=replay, **options)
        opened.append(Window(Session(config) if replay is None else Replay(replay), config))
        opened[-1].pacer = Pacer(1000, 0.0)
        return opened[-1]

    yield open_window
    for window in opened:
        window.scene.close()
    pygame.quit()


def read_png(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")
