from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.cli.app import main
from worldsim.data import Dataset
from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import make
from worldsim.envs.record import RecordDataset
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import DataError, WorldError
from worldsim.eval.redream import format_redream, redream
from worldsim.world import World, export_world


def record_dream(world: Path, out: Path, **options: object) -> Dataset:
    env = RecordDataset(DreamEnv(world, device="cpu", rewards=False, num_steps=3, temperature=1.5, **options), out)  # type: ignore[arg-type]
    env.action_space.seed(1)
    for seed, start in ((5, None), (6, 2)):
        env.reset(seed=seed, options=None if start is None else {"start": start})
        for _ in range(6):
            env.step(env.action_space.sample())
    env.close()
    return Dataset(out)


@pytest.mark.parametrize("options", [{}, {"obs": "latent", "actions": "flat"}, {"dtype": "bfloat16"}])
def test_a_dream_is_dreamed_again_bit_for_bit(options: dict[str, object], tiny_world_path: Path, tmp_path: Path) -> None:
    data, shown = record_dream(tiny_world_path, tmp_path / "d", **options), list[np.ndarray]()
    for i in range(2):
        figures = redream(data, i, str(tiny_world_path), shown.append)
        assert figures["identical"] and figures["differs"] == [] and "bit for bit" in format_redream(figures)
    assert len(shown) == 12 and (shown[0] != shown[5]).any()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_every_row_of_a_batch(mode: str, short_world_path: Path, tmp_path: Path) -> None:
    env = RecordDataset(DreamVectorEnv(short_world_path, 3, horizon=5, autoreset_mode=mode, device="cpu"), tmp_path)
    env.reset(seed=3)
    env.action_space.seed(0)
    for _ in range(9):
        env.step(env.action_space.sample())
    env.close()
    data = Dataset(tmp_path)
    assert len(data) > 5
    for i in range(len(data)):
        assert redream(data, i, str(short_world_path))["identical"], data.episodes[i]


def test_what_differs_is_said(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = record_dream(tiny_world_path, tmp_path / "d")
    world = World.load(tiny_world_path, device="cpu", dtype=torch.float32)
    with torch.no_grad():
        for parameter in world.dynamics.parameters():
            parameter.mul_(1.3)
    other = tmp_path / "other"
    export_world(other, world.config, world.tokenizer, world.dynamics, world.starts, world.start_controls)
    figures = redream(data, 0, str(other))
    assert not figures["identical"] and figures["differs"][0].startswith(f"the world was {data.episodes[0].world_hash}, and")
    assert "dynamics.safetensors of the world is another" in figures["differs"] and len(figures["differs"]) == 2
    with pytest.raises(SystemExit) as exit:
        main(["replay", str(data.root), "--episode", "1", "--world", str(other), "--json", str(tmp_path / "figures.json")])
    assert exit.value.code == 1 and "not bit for bit" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["episode"] == 1
    main(["replay", str(data.root), "--world", str(tiny_world_path), "--out", str(tmp_path / "again.mp4")])
    assert "dreamed again bit for bit" in capsys.readouterr().out and (tmp_path / "again.mp4").exists()


def test_what_cannot_be_dreamed_again_is_named(tiny_world_path: Path, tmp_path: Path) -> None:
    env = RecordDataset(make("toy/dodge"), tmp_path / "real")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    with pytest.raises(DataError, match="was not dreamed by a world"):
        redream(Dataset(tmp_path / "real"), 0)
    shutil.copytree(tiny_world_path, tmp_path / "gone")
    data = record_dream(tmp_path / "gone", tmp_path / "d")
    with pytest.raises(WorldError, match="give it as --world"):
        redream(data, 0)
    dream = DreamEnv(tiny_world_path, device="cpu", rewards=False)
    dream.reset(seed=0)
    state = dream.get_state()
    env = RecordDataset(dream, tmp_path / "state")
    env.reset(seed=1)
    dream.set_state(state)
    assert dream.world.origins == [None]
    env.close()
