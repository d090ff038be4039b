from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldsim.envs.games import GAMES, make_policy
from worldsim.errors import WorldsimError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.presets import COLLECTIONS, PRESETS, TRANSFERS, find_collection, find_preset, find_transfer
from worldsim.world import FILES, WorldConfig, export_world

LIMIT = 24e6


@pytest.mark.parametrize("name", PRESETS)
def test_a_world_of_a_preset_is_small_enough_to_ship(name: str, tmp_path: Path) -> None:
    config, game = find_preset(name), GAMES[name]
    latents = config.tokenizer.model.latent_channels
    model = replace(config.dynamics.model, controls=game.control_spec.size, latent_channels=latents)
    grid = config.tokenizer.model.grid(game.height, game.width)
    world = WorldConfig(
        name=name,
        game=name,
        height=game.height,
        width=game.width,
        fps=17.5,
        frame_skip=game.frame_skip,
        control_spec=game.control_spec,
        tokenizer=config.tokenizer.model,
        dynamics=model,
    )
    starts = torch.zeros(config.starts, model.window, *grid, latents)
    controls = torch.zeros(config.starts, model.window, model.controls)
    folder = export_world(tmp_path / "world", world, Tokenizer(config.tokenizer.model), DiT(model), starts, controls)
    assert sum((folder / file).stat().st_size for file in FILES) < LIMIT


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_as_it_is_found_and_knows_what_to_record(name: str) -> None:
    assert find_preset(name).name == name
    collection, game = find_collection(name), GAMES[name]
    assert collection.frames > collection.eval_frames > 0
    assert sum(game.policies.values()) == pytest.approx(1)
    for policy in game.policies:
        make_policy(policy, game.control_spec)


def test_only_symmetric_games_are_mirrored() -> None:
    assert all(GAMES[name].symmetric for name in PRESETS if find_preset(name).mirrored)


def test_a_game_without_a_preset_gets_one() -> None:
    spec = replace(GAMES["toy/dodge"], name="my/game")
    config = find_preset(spec)
    assert config.name == "my/game" and config.mirrored and config.dynamics == find_preset("doom/my-way-home").dynamics
    assert find_preset("worldsim.envs.games.dodge:DODGE") == find_preset("toy/dodge")


def test_collections_are_of_games() -> None:
    assert set(COLLECTIONS) <= set(GAMES)


def test_an_unknown_preset_is_explained() -> None:
    with pytest.raises(WorldsimError, match=r"no preset 'doom/takecover'; choose from: .* Did you mean 'doom/take-cover'\?"):
        find_preset("doom/takecover")


def test_agents_of_a_game_learn_in_a_cheaper_world_of_it() -> None:
    for game, cheaper in TRANSFERS.items():
        assert find_transfer(game).name == cheaper
        whole, strip = GAMES[game], GAMES[cheaper]
        assert (whole.control_spec, whole.max_tics) == (strip.control_spec, strip.max_tics)
        assert (whole.axes, whole.bars, whole.best_reward) == (strip.axes, strip.bars, strip.best_reward)
    assert find_transfer("doom/my-way-home").name == "doom/my-way-home"
