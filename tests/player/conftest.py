"""A tiny world of a game that is always installed, so that both can be played."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldsim.envs.games import find_game
from worldsim.model.dit import DiT
from worldsim.world import World, export_world


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
