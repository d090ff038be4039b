"""Linear layers in int8: symmetric, weights per output channel, activations per tensor (Jacob et al. 2018, arXiv:1712.05877)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.model.dit import DiT
from worldsim.model.sampler import Stream
from worldsim.world.config import WorldConfig

Ranges = Mapping[str, float]
LEVELS = 127
LAYERS = ("attention.qkv", "attention.out", "enter", "leave")  # of every block; embeddings, conditions and heads stay in float32
MARGIN = 1.05  # of the largest activation seen, for those not seen


def quantized_layers(dit: DiT) -> dict[str, nn.Linear]:
    """The layers of `LAYERS` by their names in `dit`."""
    return {name: module for name, module in dit.named_modules() if name.endswith(LAYERS) and isinstance(module, nn.Linear)}


@contextmanager
def observe(dit: DiT) -> Iterator[dict[str, float]]:
    """The largest input of each layer of `LAYERS` in all calls made meanwhile, by the layer's name in `dit`."""
    largest: dict[str, Tensor] = {}

    def watch(name: str, linear: nn.Linear) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            now = inputs[0].detach().abs().amax()
            largest[name] = torch.maximum(largest[name], now) if name in largest else now

        return linear.register_forward_pre_hook(hook)

    handles = [watch(name, module) for name, module in quantized_layers(dit).items()]
    ranges: dict[str, float] = {}
    try:
        yield ranges
        ranges.update({name: MARGIN * float(value) for name, value in largest.items()})
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def measure_ranges(dit: DiT, config: WorldConfig, starts: Tensor, start_controls: Tensor, frames: int = 24) -> dict[str, float]:
    """Ranges in dreams that go on from start contexts, under the controls of other ones.

    Args:
        dit: the dynamics, in float32.
        config: of the world.
        starts: latents `(S, window, h, w, C)`.
        start_controls: `(S, window, A)`, that produced them.
        frames: of every dream.
    """
    count, window = len(starts), starts.shape[1]
    generator = torch.Generator("cpu").manual_seed(0)
    play = {name: getattr(config, name) for name in ("num_steps", "context_level", "draw_level", "rounds")}
    stream = Stream(dit, (starts.shape[2], starts.shape[3]), count, **play)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, *starts.shape[2:], generator=generator, dtype=torch.float32, device="cpu")

    order = torch.randint(count * window, (count, frames), generator=generator, dtype=torch.int64, device="cpu")
    controls = start_controls.flatten(0, 1)[order]
    uniforms = torch.rand(frames, *starts.shape[:1], *starts.shape[2:4], generator=generator, dtype=torch.float32, device="cpu")
    draws = ((normal(count), uniforms[t], normal(count)) for t in range(frames))
    with observe(dit) as ranges:
        for _ in stream.rollout((starts, start_controls, normal(count, window)), controls, draws):
            pass
    return ranges


def quantized_linear(x: Tensor, linear: nn.Linear, largest: float) -> Tensor:
    """What an int8 engine computes: activations clipped at `largest` and rounded, weights rounded per output channel."""
    x = torch.fake_quantize_per_tensor_affine(x, max(largest, 1e-6) / LEVELS, 0, -LEVELS - 1, LEVELS)
    scale = linear.weight.abs().amax(1, keepdim=True).clamp_min(1e-8) / LEVELS
    integers = (linear.weight / scale).round().to(torch.int8)
    return F.linear(x, integers.float() * scale, linear.bias)
