from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY_DIT, randomize

from train.test_dynamics import CPU, windows
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.noise import NoiseConfig
from worldsim.train.dynamics import Batch, DynamicsObjective, losses, make_batch
from worldsim.train.imagine import imagine_context

NOISE = NoiseConfig(context_share=0, context_max=0.2, shortcut_share=0, pure_share=0.5)
FRAMES = 6
PLAIN = replace(TINY_DIT, codes=0, reveals=False)
CODES = replace(TINY_DIT, codes=8, reveals=False)
SHOWN = replace(TINY_DIT, codes=8, reveals=True)


def batch_for(config: DiTConfig) -> tuple[Batch, DynamicsObjective]:
    objective = DynamicsObjective(noise=NOISE, copies=1, revealed_share=0.5 if config.reveals else 0.0)
    return make_batch(windows(8, FRAMES), objective, CPU, 1), objective


def model_of(config: DiTConfig) -> DiT:
    model = DiT(config)
    randomize(model)
    return model


@pytest.mark.parametrize("config", [PLAIN, CODES, SHOWN], ids=["no codewords", "codewords", "codewords shown"])
def test_only_late_frames_of_the_first_rows_of_the_past_change(config: DiTConfig) -> None:
    model, (batch, objective) = model_of(config), batch_for(config)
    before = batch.windows.latents.clone()
    made = imagine_context(model, batch, rows=3, depth=2, seed=5)
    changed = (made.windows.latents != before).flatten(2).any(2)
    assert not changed[:, FRAMES:].any(), "what the model is to predict stays as recorded"
    assert not changed[3:].any() and not changed[:, 0].any()
    assert changed[1:3, FRAMES - 2].all(), "a frame near the end is imagined in every row"
    assert not changed[0, FRAMES - 1], "in place of the frame that ended the episode there is none"
    assert torch.equal(batch.windows.latents, before) and not made.windows.latents.requires_grad
    assert torch.isfinite(losses(model, made, objective)["loss"])


def test_equal_seeds_imagine_equal_pasts() -> None:
    model, (batch, _) = model_of(SHOWN), batch_for(SHOWN)
    one, same, other = (imagine_context(model, batch, 4, 2, seed).windows.latents for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_deeper_past_comes_of_an_imagined_one() -> None:
    """Each time over, mistakes reach one frame further; a frame of pure noise shows only what came before it."""
    model, (batch, _) = model_of(PLAIN), batch_for(PLAIN)
    once, twice, again = (imagine_context(model, batch, 4, depth, 5).windows.latents for depth in (1, 2, 2))
    assert torch.equal(twice, again)
    first = (once != batch.windows.latents).flatten(2).any(2)[1:4].int().argmax(1)
    for row, start in enumerate(first.tolist(), 1):
        assert torch.equal(once[row, start], twice[row, start]), "the first imagined frame sees recorded ones alone"
        assert start + 1 >= FRAMES or not torch.equal(once[row, start + 1], twice[row, start + 1])
