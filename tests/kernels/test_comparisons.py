"""What the benchmark compares computes the same thing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from worldsim.kernels.comparisons import (
    OURS,
    Comparison,
    compare_frame_attention,
    compare_int8_decode,
    compare_norm_modulate,
    compare_qkv_write,
    compare_ring_attention,
    compare_temporal_decode,
    grid,
)

from .rings import DEVICE

TINY: dict[str, Callable[[], Comparison]] = {
    "ring": partial(compare_ring_attention, 4, 3, 4, 2, 16, DEVICE),
    "temporal": partial(compare_temporal_decode, 4, 3, 4, 2, 16, DEVICE),
    "int8": partial(compare_int8_decode, 4, 3, 4, 2, 16, DEVICE),
    "write": partial(compare_qkv_write, 4, 3, 4, 2, 16, DEVICE),
    "modulate": partial(compare_norm_modulate, 1, 2, 3, 32, DEVICE, False),
    "modulate, with gradients": partial(compare_norm_modulate, 1, 2, 3, 32, DEVICE, True),
    "causal": partial(compare_frame_attention, 3, 5, 4, 2, 16, DEVICE),
    "bidirectional": partial(compare_frame_attention, 3, 5, 4, 2, 16, DEVICE, causal=False),
}
ON_GPU_ONLY = ("SDPA cuDNN", "SDPA efficient + mask", "Flex", "Flex, mask rebuilt", "Flex max-autotune", "Inductor")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TINY)
def test_implementations_agree(name: str) -> None:
    torch.manual_seed(0)
    comparison = TINY[name]()
    inputs = comparison.draw()
    results = {}
    for who, run in comparison.implementations.items():
        if DEVICE == "cpu" and who in ON_GPU_ONLY:
            continue
        try:
            made = run(*(a.detach().clone().requires_grad_(a.requires_grad) for a in inputs))
        except RuntimeError:
            assert who != OURS  # some of PyTorch's cannot run at sizes this small
        else:
            results[who] = [made] if isinstance(made, Tensor) else [*made]
    assert OURS in results and (len(results) > 1 or name == "causal")
    for who, made in results.items():
        for one, other in zip(made, results[OURS], strict=True):
            torch.testing.assert_close(one, other, atol=0.05, rtol=0.05, msg=who)
    assert comparison.traffic > 0 and comparison.flops >= 0


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [*grid(DEVICE)])
def test_every_size_runs(make: Callable[[], Comparison]) -> None:
    comparison = make()
    assert comparison.implementations[OURS](*comparison.draw()) is not None
