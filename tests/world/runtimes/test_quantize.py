"""Int8: how near it is, and the ranges it is scaled by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worldsim.world import World
from worldsim.world.runtimes import cache
from worldsim.world.runtimes.quantize import observe

from .conftest import latents


def test_int8_is_near(load: Callable[..., World]) -> None:
    """Nearer to float32 than two frames are to each other, and not float32."""
    right, given = latents(load("torch"), 1), latents(load("openvino-int8"), 1)
    error = (given - right).square().mean().sqrt()
    assert 1e-5 < error < 0.15 * right.std()


def test_ranges_are_the_largest_inputs(load: Callable[..., World]) -> None:
    dit = load("torch").dynamics
    x = torch.randn(2, 5, dit.config.width, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    enter = dit.blocks[1].get_submodule("enter")
    with observe(dit) as ranges:
        enter(x)
        enter(0.5 * x)
    assert ranges == {"blocks.1.enter": pytest.approx(1.05 * float(x.abs().max()))}
    assert not enter._forward_pre_hooks


def test_damaged_ranges_are_measured_again(load: Callable[..., World], kept: Path) -> None:
    (path,) = kept.glob("graphs/*/ranges.json")
    whole = cache.kept_json(path)
    for damage in ('{"blocks.0.enter": "wide"}', '{"blocks.0.enter": 1.0}', "", "[1]"):
        path.write_text(damage)
        load("openvino-int8")
        assert cache.kept_json(path) == whole
