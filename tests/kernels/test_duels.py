"""Those who are measured against one another compute the same thing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from worldsim.kernels.duels import (
    OURS,
    Duel,
    frame_duel,
    grid,
    modulate_duel,
    quantised_duel,
    ring_duel,
    temporal_duel,
    write_duel,
)

from .rings import DEVICE

TINY: dict[str, Callable[[], Duel]] = {
    "ring": partial(ring_duel, 4, 3, 4, 2, 16, DEVICE),
    "temporal": partial(temporal_duel, 4, 3, 4, 2, 16, DEVICE),
    "int8": partial(quantised_duel, 4, 3, 4, 2, 16, DEVICE),
    "write": partial(write_duel, 4, 3, 4, 2, 16, DEVICE),
    "modulate": partial(modulate_duel, 1, 2, 3, 32, DEVICE, False),
    "modulate and back": partial(modulate_duel, 1, 2, 3, 32, DEVICE, True),
    "causal": partial(frame_duel, 3, 5, 4, 2, 16, DEVICE),
    "bidirectional": partial(frame_duel, 3, 5, 4, 2, 16, DEVICE, causal=False),
}
ON_GPU_ONLY = ("SDPA cuDNN", "SDPA efficient + mask", "Flex", "Flex, mask rebuilt", "Flex max-autotune", "Inductor")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TINY)
def test_contenders_agree(name: str) -> None:
    torch.manual_seed(0)
    duel = TINY[name]()
    inputs = duel.draw()
    results = {}
    for who, run in duel.contenders.items():
        if DEVICE == "cpu" and who in ON_GPU_ONLY:
            continue
        try:
            made = run(*(a.detach().clone().requires_grad_(a.requires_grad) for a in inputs))
        except RuntimeError:
            assert who != OURS  # not every rival works at sizes this small
        else:
            results[who] = [made] if isinstance(made, Tensor) else [*made]
    assert OURS in results and (len(results) > 1 or name == "causal")
    for who, made in results.items():
        for one, other in zip(made, results[OURS], strict=True):
            torch.testing.assert_close(one, other, atol=0.05, rtol=0.05, msg=who)
    assert duel.traffic > 0 and duel.flops >= 0


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [*grid(DEVICE)])
def test_the_grid_can_be_drawn(make: Callable[[], Duel]) -> None:
    duel = make()
    assert duel.contenders[OURS](*duel.draw()) is not None
