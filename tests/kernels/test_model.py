"""The transformer gives the same results with every implementation of its ops."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import TINY_DIT, randomize
from torch import Tensor

from worldsim.kernels.frame_attention import frame_attention
from worldsim.kernels.norm_modulate import norm_modulate
from worldsim.kernels.qkv_write import qkv_write
from worldsim.kernels.ring_attention import ring_attention
from worldsim.kernels.temporal_decode import temporal_decode
from worldsim.model import attention, blocks, dit
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.sampler import Stream

from .rings import DEVICE

CONFIGS = {
    "joint": replace(TINY_DIT, depth=2, window=3),
    "time": replace(TINY_DIT, depth=2, window=3, temporal="time", temporal_every=2),
}
FRAMES = [5, pytest.param(64, marks=pytest.mark.gpu)]


def use(impl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the model use this implementation of every op."""

    def see(q: Tensor, k: Tensor, v: Tensor, tokens: int, layout: attention.Layout) -> Tensor:
        options = {"causal": layout.causal, "window": layout.window, "copies": layout.copies}
        return frame_attention(q, k, v, tokens, **options, impl=impl)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "_see", see)
    for module in (blocks, dit):
        monkeypatch.setattr(module, "modulate", partial(norm_modulate, impl=impl))
    for op in (qkv_write, ring_attention, temporal_decode):
        monkeypatch.setattr(blocks, op.__name__, partial(op, impl=impl))


def build(config: DiTConfig) -> DiT:
    torch.manual_seed(0)
    model = DiT(config)
    randomize(model)
    return model


def rollout(model: DiT, frames: int, device: str) -> Tensor:
    """Latents of two rollouts, on the CPU."""
    generator = torch.Generator().manual_seed(1)
    stream, latents = Stream(model.to(device), (1, 2), 2, num_steps=2), []
    for _ in range(frames):
        controls = torch.randn(2, TINY_DIT.controls, generator=generator).to(device)
        noise, later = torch.randn(2, 2, 1, 2, TINY_DIT.latent_channels, generator=generator).to(device)
        latent, _, _ = stream.imagine(controls, noise, torch.rand(2, 1, 2, generator=generator).to(device))
        stream.commit(latent, controls, later)
        latents.append(latent.cpu())
    return torch.stack(latents)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("layout", CONFIGS)
def test_rollouts_agree_past_the_wrap(layout: str, frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """References on a CPU, Triton on the device under test; on a GPU every frame is a captured graph."""
    model = build(CONFIGS[layout]).eval()
    use("reference", monkeypatch)
    expected = rollout(model, frames, "cpu")
    use("triton", monkeypatch)
    torch.testing.assert_close(rollout(model, frames, DEVICE), expected, atol=1e-4, rtol=1e-4)


def clip() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(1, 8, 1, 2, TINY_DIT.latent_channels, generator=generator)
    scalars = torch.rand(2, 1, 8, generator=generator)
    return tuple(a.to(DEVICE) for a in (z, *scalars, torch.randn(1, 8, TINY_DIT.controls, generator=generator)))


def gradients(model: DiT, compiled: bool = False) -> list[Tensor]:
    """Gradients of every weight, for a loss over a context of four frames and one noisy copy."""
    model = model.to(DEVICE)
    network = torch.compile(model, fullgraph=True, backend="aot_eager" if DEVICE == "cpu" else "inductor") if compiled else model
    given = clip()
    shown = torch.ones(*given[0].shape[:-1], 1 + given[0].shape[-1], device=DEVICE)
    made = network(*given, copies=1, shown=shown)
    loss = sum(part.square().mean() for part in made if part is not None)
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("layout", CONFIGS)
def test_gradients_of_every_weight_agree(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = build(CONFIGS[layout]), []
    for impl in ("reference", "triton"):
        use(impl, monkeypatch)
        found.append(gradients(model))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # a warning of torch.compile itself
@pytest.mark.parametrize("layout", ["joint", pytest.param("time", marks=pytest.mark.slow)])
def test_model_compiles_without_a_break(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use("triton", monkeypatch)
    model = build(CONFIGS[layout])
    for one, other in zip(gradients(model, compiled=True), gradients(model), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("layout", CONFIGS)
def test_model_on_a_cpu_compiles_without_a_break(layout: str) -> None:
    model = build(CONFIGS[layout])
    network = torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager")
    given = tuple(a.cpu() for a in clip())
    torch.testing.assert_close(network(*given, copies=1).x, model(*given, copies=1).x)
