"""Checkpoints that another number of processes goes on from."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_DIT
from disks import small_disk
from processes import Processes
from torch import Tensor

from worldsim import device
from worldsim.errors import TrainingError
from worldsim.model.dit import DiT
from worldsim.train import saving
from worldsim.train.engine import whole
from worldsim.train.loop import Loop, LoopConfig
from worldsim.train.shared_checkpoint import COMPLETE, SharedCheckpoints

SIZES = replace(TINY_DIT, controls=2, depth=2)


def loop(folder: Path, sharding: str) -> Loop:
    torch.manual_seed(0)
    model = DiT(SIZES)

    def losses(i: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(i)
        z = torch.randn(2, 3, 2, 2, 6, generator=generator)
        levels = torch.rand(2, 3, generator=generator)
        made = model(z, levels, 0 * levels, torch.zeros(2, 3, 2))
        assert made.code is not None
        others = made.reward.square().mean() + made.end.square().mean() + made.code.square().mean()
        return {"loss": (made.x - z).square().mean() + others}

    return Loop(model, losses, LoopConfig(warmup=2, batches=6, sharding=sharding), folder, 1e9, name="stage", images=2)


def go_on(folder: Path, sharding: str, steps: int) -> tuple[int, int, dict[str, Tensor]]:
    """Resumes, trains some steps, saves: where that is, and all weights, averages and what the optimizers keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "FAST_BF16", frozenset())
        stage = loop(folder, sharding)
        stage.resume()
        for _ in range(steps):
            stage.train_step()
        stage.save()
        for parameter in stage.model.parameters():
            parameter.data.zero_()  # it is written in the background, from a copy
        tensors = sorted(stage.keeper._tensors().items())
        kept = {name: whole(value).detach().clone() for name, value in tensors if not name.startswith("model.")}
        stage.keeper.finish()
    return stage.step, stage.drawn, kept


def test_any_number_of_processes_goes_on(tmp_path: Path, processes: Processes) -> None:
    """One process, two with whole models, three with shares, two with shares, one again: as if one had done it all."""
    step, drawn, straight = go_on(tmp_path / "alone", "auto", 10)
    assert (step, drawn) == (10, 60)
    for count, sharding in ((1, "auto"), (2, "replicate"), (3, "shard"), (2, "shard"), (1, "auto")):
        together = processes.run(count, go_on, tmp_path / "visited", sharding, 2)
    assert together[0][:2] == (10, 60)
    assert straight.keys() == together[0][2].keys()
    for name, value in straight.items():
        assert torch.allclose(value, together[0][2][name], rtol=1e-2, atol=2e-3), name
    assert saving.size(tmp_path / "visited" / "stage.ckpt") > 0


def saved_by(folder: Path) -> None:
    stage = loop(folder, "replicate")
    stage.train_step()
    stage.save()
    stage.keeper.finish()


def test_damaged_and_foreign_shared_checkpoints_are_named(tmp_path: Path, processes: Processes) -> None:
    processes.run(2, saved_by, tmp_path)
    (folder,) = (tmp_path / "stage.steps").iterdir()
    assert saving.elapsed(tmp_path / "stage.ckpt") == 0
    other = loop(tmp_path, "auto")
    other.model.register_parameter("more", torch.nn.Parameter(torch.zeros(3)))
    with pytest.raises(TrainingError, match=r"step-0000001 does not fit .*model\.more is only in this model"):
        other.resume()
    (folder / "__0_0.distcp").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"step-0000001 does not fit this configuration or is damaged"):
        loop(tmp_path, "auto").resume()
    whole_one = (folder / COMPLETE).read_bytes()
    (folder / COMPLETE).write_bytes(whole_one[: len(whole_one) // 2])
    with pytest.raises(TrainingError, match=r"step-0000001 cannot be read .*Delete it"):
        loop(tmp_path, "auto").resume()
    (folder / COMPLETE).unlink()
    assert not loop(tmp_path, "auto").resume(), "one that was never finished does not count"


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran')",)


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    folder = tmp_path / "step-0000001"
    folder.mkdir()
    (folder / COMPLETE).write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(TrainingError, match=r"builtins\.exec does not belong into a checkpoint"):
        SharedCheckpoints(tmp_path).names(folder)


def test_only_what_was_written_here_is_removed(tmp_path: Path, processes: Processes) -> None:
    old = tmp_path / "stage.steps" / "step-0000000"
    old.mkdir(parents=True)
    for name in ("notes.txt", "__0_0.distcp"):
        (old / name).write_text("")
    (tmp_path / "stage.steps" / "step-mine").mkdir()
    processes.run(2, saved_by, tmp_path)
    names = {path.name for path in (tmp_path / "stage.steps").iterdir()}
    assert names == {"step-0000000", "step-0000001", "step-mine"} and [path.name for path in old.iterdir()] == ["notes.txt"]


def twice(folder: Path) -> bool:
    """Whether a checkpoint is left alone where its step is saved again, as at the end of a budget."""
    stage = loop(folder, "replicate")
    stage.train_step()
    stage.save()
    stage.keeper.finish()
    mark = folder / "stage.steps" / "step-0000001" / COMPLETE
    before = mark.stat().st_mtime_ns
    stage.save()
    stage.keeper.finish()
    return mark.stat().st_mtime_ns == before


def test_a_step_is_written_once(tmp_path: Path, processes: Processes) -> None:
    assert processes.run(2, twice, tmp_path) == [True, True]


def full(folder: Path) -> int:
    """A checkpoint that finds room, then one that finds none; the step of the one that is there after that."""
    stage = loop(folder, "replicate")
    stage.train_step()
    stage.save()
    stage.keeper.finish()
    stage.train_step()
    with small_disk(10_000), pytest.raises(TrainingError, match=r"cannot write the checkpoint .*The last one is untouched"):
        stage.save()
        stage.keeper.finish()
    again = loop(folder, "replicate")
    again.resume()
    return again.step


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path: Path, processes: Processes) -> None:
    assert processes.run(2, full, tmp_path) == [1, 1]
