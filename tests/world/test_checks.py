"""What may be given to a batch of worlds, and the message for what may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from worldsim.errors import WorldError
from worldsim.world import checks


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (None, [None, None]),
        (7, [7, 9]),
        ([4, None], [4, None]),
        (np.array([4, 5]), [4, 5]),
        ((0, 2**64 - 1), [0, 2**64 - 1]),
    ],
)
def test_seeds(seed: Any, expected: list[int | None]) -> None:
    assert checks.check_seeds(seed, [0, 2]) == expected


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "3", [1, "2"], [1, -1], 2**64 - 2])
def test_seeds_out_of_range(seed: Any) -> None:
    with pytest.raises(WorldError, match="seed was"):
        checks.check_seeds(seed, [0, 2])


def test_too_few_seeds() -> None:
    with pytest.raises(WorldError, match="1 seeds for 2 worlds; give one seed, or one per world"):
        checks.check_seeds([1], [0, 2])


def test_rows() -> None:
    assert checks.check_rows(None, 3) == [0, 1, 2]
    assert checks.check_rows(np.array([2, 0]), 3) == [2, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("01", "give a sequence of row numbers from 0 to 2"),
        (1, "give a sequence of row numbers from 0 to 2"),
        ([3], "row was 3"),
        ([1, 1], "give every row once"),
    ],
)
def test_rows_that_do_not_exist(rows: Any, message: str) -> None:
    with pytest.raises(WorldError, match=message):
        checks.check_rows(rows, 3)


def test_dtypes() -> None:
    for dtype in (None, torch.float32, torch.bfloat16):
        checks.check_dtype(dtype)
    with pytest.raises(WorldError, match=r"dtype was torch.float16; allowed: torch.float32, torch.bfloat16, or None"):
        checks.check_dtype(torch.float16)


def test_a_step_before_a_reset() -> None:
    checks.check_started(np.array([True, True]), "step")
    with pytest.raises(WorldError, match=r"step\(\) before reset\(\)"):
        checks.check_started(np.array([True, False]), "step")


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free_bytes", lambda device: 3 * 2**30)
    checks.check_memory(3, 2**30, torch.device("cpu"))
    with pytest.raises(WorldError, match=r"4 worlds need about 4.0 GiB, and cpu has 3.0 GiB free; at most 3 fit"):
        checks.check_memory(4, 2**30, torch.device("cpu"))
    monkeypatch.setattr(checks, "free_bytes", lambda device: None)
    checks.check_memory(4, 2**60, torch.device("cpu"))


def test_start_contexts() -> None:
    starts, controls = torch.zeros(3, 4, 2, 3, 6, dtype=torch.float32), torch.zeros(3, 4, 5, dtype=torch.float32)
    checks.check_starts(starts, controls, 4, (2, 3, 6), 5)
    for wrong in ((starts[:2], controls), (starts[:, :3], controls), (starts, controls[..., :4]), (starts[:0], controls[:0])):
        with pytest.raises(WorldError, match=r"give \(\(\d, 4, 2, 3, 6\), \(\d, 4, 5\)\)"):
            checks.check_starts(*wrong, 4, (2, 3, 6), 5)
