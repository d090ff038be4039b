"""The plan of large runs against what small networks really do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import TINY_DIT
from torch.utils.flop_counter import FlopCounterMode

from worldsim.bench.config import ScalePlanConfig
from worldsim.bench.scale import (
    Machine,
    activation_bytes,
    attention_flops,
    collective_seconds,
    plan_scale,
    simulate,
    weight_counts,
)
from worldsim.errors import WorldsimError
from worldsim.model.dit import DiT
from worldsim.train.loop import LoopConfig, make_optimizers

SIZES = replace(TINY_DIT, width=128, hidden=320, depth=4, temporal="time", temporal_every=2, controls=2, latent_channels=6)


def forward(model: DiT, frames: int) -> torch.Tensor:
    z, levels = torch.randn(1, frames, 4, 4, 6), torch.rand(1, frames)
    made = model(z, levels, 0 * levels, torch.zeros(1, frames, 2))
    return made.x.square().mean()


@pytest.mark.parametrize("temporal", ["time", "joint"])
def test_kept_activations_are_counted(temporal: str) -> None:
    """Within a third of what autograd keeps, in float32, each storage once and weights left out."""
    sizes, kept = replace(SIZES, temporal=temporal), {}
    model = DiT(sizes)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = forward(model, 8)
    assert loss.requires_grad
    assert 2 * activation_bytes(sizes, 16, 8) == pytest.approx(sum(kept.values()), rel=0.34)


def test_attention_is_counted() -> None:
    """Whatever the formula of all matrices leaves out."""
    model = DiT(SIZES)
    with FlopCounterMode(display=False) as counter:
        forward(model, 8)
    counts = counter.get_flop_counts()["Global"]
    counted = sum(number for op, number in counts.items() if "attention" in str(op) or "bmm" in str(op))
    assert attention_flops(SIZES, 16, 8) == pytest.approx(counted, rel=0.25)


def test_states_are_those_of_the_optimizers() -> None:
    """Float32 numbers that a training step keeps per weight: itself, gradient, average, and the optimizer's."""
    model = DiT(SIZES)
    optimizers = make_optimizers(model, LoopConfig())
    forward(model, 4).backward()
    for optimizer in optimizers:
        optimizer.step()
    seen = [p for p in model.parameters() if p.grad is not None]
    state = sum(value.numel() for o in optimizers for kept in o.state.values() for name, value in kept.items() if name != "step")
    counts = weight_counts(model)
    muon = sum(p.numel() for p in optimizers[0].param_groups[0]["params"])
    assert muon == counts["muon"] and state == 2 * sum(p.numel() for p in seen) - muon
    assert counts["all"] == counts["rest"] + SIZES.depth * counts["block"]


def test_more_gpus_take_less_memory_and_time_and_cost_more() -> None:
    few, many = (simulate(SIZES, 16, ScalePlanConfig(windows=4), gpus, Machine()) for gpus in (8, 64))
    assert many.state_bytes == pytest.approx(few.state_bytes / 8)
    assert many.hours < few.hours < 8.1 * many.hours and many.cost > few.cost
    assert few.hours == pytest.approx(ScalePlanConfig().total_frames / few.frames_per_second / 3600)
    assert few.seconds < few.compute + few.communication


def test_communication_that_computing_does_not_hide_counts() -> None:
    """With a network a thousand times as slow."""
    slow = simulate(SIZES, 16, ScalePlanConfig(), 64, Machine(network=5e7))
    assert slow.seconds == pytest.approx(slow.communication) and slow.communication > slow.compute


def test_a_node_needs_no_network() -> None:
    machine = Machine()
    assert collective_seconds(45e9, 8, machine) == pytest.approx(0.1 / 0.7)
    assert collective_seconds(45e9, 16, machine) == pytest.approx((0.1 + 45 / 400) / 0.7)


def test_the_plan_says_that_it_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    made = plan_scale(ScalePlanConfig(gpus=(8, 64)))
    shown = capsys.readouterr().out
    assert "360p-1b: 998M weights, 265 tokens a frame" in shown and "not yet measured on a GPU" in shown
    assert made["measured"] is False and [row["gpus"] for row in made["results"]] == [8, 64]
    assert "too much" in _shown(capsys, windows=64) and "too much" not in shown


def _shown(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    plan_scale(ScalePlanConfig(**options))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus": ()}, "gpus was 0"),
        ({"windows": 0}, "windows was 0"),
        ({"price": -1.0}, "price was -1"),
        ({"copies": -1}, "copies"),
    ],
)
def test_what_cannot_be_planned_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        ScalePlanConfig(**given)
