"""What several processes cost; the command itself runs in tests/train/test_scale_page.py."""

from __future__ import annotations

import pytest

from worldsim.bench.config import TrainStepsConfig
from worldsim.bench.scaling import _row
from worldsim.errors import WorldsimError


def test_efficiency_is_relative_to_the_fewest_processes() -> None:
    """Twice the frames in 1.25 times the time, of which a fifth is not computing."""
    measured = {"alone": 1.0, "muon": 0.1, "muon_bytes": 8}
    first = _row(1, "shard", [], "dynamics", 100, seconds=1.0, **measured)
    second = _row(2, "shard", [first], "dynamics", 200, seconds=1.25, **measured)
    assert (first.efficiency, first.communication, first.sharding) == (1.0, 0.0, "replicate")
    assert second.efficiency == pytest.approx(0.8) and second.communication == pytest.approx(0.2)
    assert (second.sharding, second.muon_bytes) == ("shard", 8)


@pytest.mark.parametrize("nproc", [(0,), (2, -1)])
def test_numbers_of_processes_start_at_one(nproc: tuple[int, ...]) -> None:
    with pytest.raises(WorldsimError, match=r"nproc was .*; give a whole number of at least 1"):
        TrainStepsConfig(nproc=nproc)
