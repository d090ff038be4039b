from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldsim.envs.games import GAMES, POLICIES
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
    collection = find_collection(name)
    assert set(collection.policies) <= set(POLICIES) and sum(collection.policies.values()) == pytest.approx(1)
    assert collection.frames > collection.eval_frames > 0
    for policy in collection.policies:
        POLICIES[policy](GAMES[name].control_spec)


def test_collections_are_of_games() -> None:
    assert set(COLLECTIONS) <= set(GAMES)


def test_an_unknown_preset_is_explained() -> None:
    with pytest.raises(WorldsimError, match=r"no preset 'doom/takecover'; choose from: .* Did you mean 'doom/take-cover'\?"):
        find_preset("doom/takecover")


def test_agents_of_a_game_learn_in_a_cheaper_world_of_it() -> None:
    for game, cheaper in TRANSFERS.items():
        assert find_transfer(game).name == cheaper
        whole, strip = GAMES[game], GAMES[cheaper]
        assert (whole.scenario, whole.control_spec, whole.max_tics) == (strip.scenario, strip.control_spec, strip.max_tics)
    assert find_transfer("doom/my-way-home").name == "doom/my-way-home"
