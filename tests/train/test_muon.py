from __future__ import annotations

import pytest
import torch
from processes import Processes
from torch import Tensor, nn
from torch.distributed.tensor import distribute_tensor

from worldsim.train.engine import shard, whole
from worldsim.train.muon import Muon, orthogonalize

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@DTYPES
@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 40), (2, 40, 8)])
def test_updates_have_singular_values_near_one(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    made = orthogonalize(x, dtype)
    assert made.dtype == torch.float32
    values = torch.linalg.svdvals(made)
    assert made.shape == x.shape and (values > 0.3).all() and (values < 1.3).all()
    left, _, right = torch.linalg.svd(x, full_matrices=False)
    assert ((left.mT @ made @ right.mT).diagonal(dim1=1, dim2=2) > 0.3).all(), "same singular vectors"


@DTYPES
def test_steps_are_those_of_torch(dtype: torch.dtype) -> None:
    """torch's Muon iterates in bfloat16 and one matrix at a time; up to that they agree, and states can be exchanged."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(16, 48), (16, 48), (40, 16), (16, 16)]
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    one = Muon(ours, lr=0.02, momentum=0.95, weight_decay=0.1, dtype=dtype)
    other = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        before = [p.detach().clone() for p in ours]
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        one.step()
        other.step()
        for start, a, b in zip(before, ours, theirs, strict=True):
            moved = (a - start).norm()
            assert moved > 0 and (a - b).norm() < 0.05 * moved
            b.data.copy_(a.data)
    one.load_state_dict({**one.state_dict(), "state": other.state_dict()["state"]})
    assert all(
        torch.allclose(one.state[a]["momentum_buffer"], other.state[b]["momentum_buffer"])
        for a, b in zip(ours, theirs, strict=True)
    )


def test_matrices_without_a_gradient_stay() -> None:
    still, moved = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    moved.grad = torch.eye(4)
    Muon([still, moved], lr=0.1, momentum=0.9, weight_decay=0.1).step()
    assert torch.equal(still.detach(), torch.ones(4, 4)) and not torch.equal(moved.detach(), torch.ones(4, 4))


SHAPES = [(16, 48), (16, 48), (40, 16), (7, 16), (7, 16), (7, 16)]


def stepped(shape_seed: int, dtype: torch.dtype, sharded: bool) -> list[Tensor]:
    """Matrices after three steps with known gradients, whole."""
    generator = torch.Generator().manual_seed(shape_seed)
    model = nn.ParameterList(nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES)
    if sharded:
        shard(model)
    optimizer = Muon(list(model), lr=0.02, momentum=0.95, weight_decay=0.1, dtype=dtype)
    for _ in range(3):
        for parameter in model:
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = distribute_tensor(gradient, parameter.device_mesh, parameter.placements) if sharded else gradient
        optimizer.step()
    return [whole(parameter).detach() for parameter in model]


@pytest.mark.parametrize("count", [2, 3])
def test_sharded_matrices_move_as_whole_ones_do(count: int, processes: Processes) -> None:
    """Also where the rows do not divide evenly, and some process has none. Numbers are the same up to rounding."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 4e-3)):
        alone = stepped(0, dtype, False)
        for together in processes.run(count, stepped, 0, dtype, True):
            for one, other in zip(alone, together, strict=True):
                assert torch.allclose(one, other, atol=tolerance)
