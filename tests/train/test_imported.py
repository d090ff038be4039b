"""A world learns Minecraft's controls from an imported recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data.importers.vpt_recordings import controls, save
from steady import STEP, counted_budgets

from worldsim.controls import Controls
from worldsim.data.importers.config import VptConfig
from worldsim.data.importers.vpt import import_vpt
from worldsim.data.merge import merge
from worldsim.envs.games.minerl import HUMAN, minerl_game
from worldsim.train.run import train
from worldsim.world import World

from .test_run import CONFIG


def test_a_vpt_recording_is_trained_on(tmp_path: Path) -> None:
    for seed in range(3):
        save(tmp_path / "in", f"player-{seed}", controls(40, seed))
    import_vpt(VptConfig(tmp_path / "in", tmp_path / "all", height=32, width=48), progress=False)
    merge([tmp_path / "all"], tmp_path / "data", eval_share=0.3, progress=False)
    with counted_budgets():
        folder = train(CONFIG, tmp_path / "data", tmp_path / "run", budget=40 * STEP, device="cpu", compiled=False).world
    world = World.load(folder, device="cpu")
    game = minerl_game("minerl/human", "MineRLHumanSurvival-v0", python="python", binaries=HUMAN)
    assert world.control_spec == game.control_spec  # the same keys play the world and the game
    assert world.config.game == "minerl/vpt" and world.config.fps == game.fps == 20
    world.reset(seed=0)
    step = world.step(Controls(keys={"w", "ctrl"}, mouse=(15.0, -3.0), buttons={"left"}))
    assert step.frame.shape == (1, 32, 48, 3) and np.isfinite(step.reward).all()
