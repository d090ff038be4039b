from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY_DIT
from torch.utils.flop_counter import FlopCounterMode

from worldsim.model.dit import DiT
from worldsim.train.config import DynamicsStage
from worldsim.train.dynamics import DynamicsObjective, losses, make_batch
from worldsim.train.stages import training_flops
from worldsim.train.store import Windows


@pytest.mark.parametrize("copies", [0, 1, 2])
@pytest.mark.parametrize("shortcut_share", [0.0, 0.5])
def test_operations_of_a_step_are_counted(copies: int, shortcut_share: float) -> None:
    """Up to attention and the adaLN conditions, which are small."""
    torch.manual_seed(0)
    sizes = replace(TINY_DIT, width=128, hidden=320, depth=3, temporal="time", temporal_every=2, controls=2)
    objective = DynamicsObjective(copies=copies)
    objective = replace(
        objective, noise=replace(objective.noise, shortcut_share=shortcut_share, context_share=0.0, pure_share=1.0)
    )
    stage, model = DynamicsStage(sizes, objective, batch=4, frames=4), DiT(sizes)
    shape = (4, 4)
    windows = Windows(
        latents=torch.randn(*shape, 4, 4, 6),
        controls=torch.randn(*shape, 2),
        rewards=torch.zeros(shape),
        ends=torch.zeros(shape, dtype=torch.bool),
        real=torch.ones(shape, dtype=torch.bool),
        known=torch.ones(shape, dtype=torch.bool),
    )
    batch = make_batch(windows, objective, torch.device("cpu"), 0)
    with FlopCounterMode(display=False) as counter:
        losses(model, batch, objective)["loss"].backward()
    assert training_flops(model, stage, 16) == pytest.approx(counter.get_total_flops(), rel=0.15)
