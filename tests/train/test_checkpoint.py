from __future__ import annotations

from pathlib import Path

import pytest
import torch
from disks import small_disk

from worldsim.errors import TrainingError
from worldsim.train import checkpoint


def test_a_checkpoint_that_does_not_fit_the_disk_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "stage.ckpt"
    checkpoint.save(path, {"step": 1})
    with small_disk(10_000), pytest.raises(TrainingError, match=r"cannot write .*stage\.ckpt.* The last checkpoint is untouched"):
        checkpoint.save(path, {"step": 2, "weights": torch.zeros(100_000)})
    assert checkpoint.load(path) == {"step": 1} and [file.name for file in tmp_path.iterdir()] == ["stage.ckpt"]


@pytest.mark.parametrize("content", [b"", b"half a checkpoint"])
def test_a_damaged_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "stage.ckpt"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"stage\.ckpt cannot be read .* Delete it"):
        checkpoint.load(path)


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stage.ckpt"
    checkpoint.save(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(TrainingError, match=r"stage\.ckpt cannot be read .* Delete it"):
        checkpoint.load(path)


@pytest.mark.parametrize("values", [{"elapsed": float("nan")}, {"elapsed": "long"}, {"elapsed": -1.0}, {"step": None}])
def test_numbers_of_a_checkpoint_are_checked(values: dict[str, object], tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "stage.ckpt", {"step": 1, "elapsed": 2.0} | values)
    with pytest.raises(TrainingError, match=rf"stage\.ckpt holds {next(iter(values))} .*Delete it"):
        checkpoint.load(tmp_path / "stage.ckpt")


def test_a_file_that_holds_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "stage.ckpt"
    torch.save([1, 2], path)
    with pytest.raises(TrainingError, match="holds no checkpoint but a list"):
        checkpoint.load(path)
