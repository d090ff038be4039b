from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import Processes
from torch import Tensor, nn

from worldsim.errors import ConfigError
from worldsim.train.engine import Engine, shares
from worldsim.train.loop import Loop, LoopConfig, is_sharded


@pytest.mark.parametrize(("batches", "processes"), [(1, 1), (4, 1), (4, 2), (4, 3), (4, 4), (7, 4)])
def test_each_batch_of_a_step_is_taken_once(batches: int, processes: int) -> None:
    """And every process takes as many, since sharded models are put together by all; what lies past the end does not count."""
    taken = [list(shares(batches, processes, rank)) for rank in range(processes)]
    assert len({len(own) for own in taken}) == 1
    assert sorted(i for own in taken for i in own if i < batches) == list(range(batches))


def gradient(batches: int) -> tuple[Tensor, list[int], float]:
    """Of a linear model in one step, the batches that this process ran, and the mean loss."""
    torch.manual_seed(0)
    model, seen = nn.Linear(3, 1), []

    def losses(i: int) -> dict[str, Tensor]:
        seen.append(i)
        return {"loss": model(torch.full((2, 3), float(i))).square().mean()}

    engine = Engine(model, losses)
    mean = engine.mean(engine.backward(10, batches), batches)["loss"]
    assert model.weight.grad is not None
    return model.weight.grad.clone(), seen, mean


@pytest.mark.parametrize("batches", [4, 3])
def test_processes_get_the_mean_gradient_of_all_batches(batches: int, processes: Processes) -> None:
    """Also where they do not divide evenly."""
    alone, seen, mean = gradient(batches)
    assert seen == list(range(10, 10 + batches))
    for together, _, their_mean in processes.run(2, gradient, batches):
        assert torch.allclose(alone, together, rtol=1e-5) and their_mean == pytest.approx(mean)


def large_and_small(folder: Path) -> list[bool]:
    """Which of some configurations shard a model of four weights."""
    model = nn.Linear(4, 1, bias=False)
    with pytest.raises(ConfigError, match="batches was 1, and 2 processes train"):
        Loop(model, lambda i: {}, LoopConfig(batches=1), folder, 1, name="stage", images=1)
    configs = [LoopConfig(), LoopConfig(shard_above=3), LoopConfig(sharding="shard"), LoopConfig(3, sharding="replicate")]
    return [is_sharded(model, config) for config in configs]


def test_the_engine_is_chosen_by_size(processes: Processes, tmp_path: Path) -> None:
    assert processes.run(2, large_and_small, tmp_path) == [[False, True, True, False]] * 2
    assert not is_sharded(nn.Linear(4, 1), LoopConfig(sharding="shard")), "one process has nobody to share with"
