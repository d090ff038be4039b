from __future__ import annotations

import pytest

from worldsim.bench.config import RecordBenchConfig
from worldsim.bench.record import bench_record, format_record


def test_steps_are_timed_alone_and_recorded() -> None:
    pytest.importorskip("vizdoom")
    figures = bench_record(RecordBenchConfig(steps=10, rounds=1))
    assert figures["size"] == [120, 160] and figures["ratio"] > 0 and figures["bytes_per_frame"] > 0
    assert "ratio" in format_record(figures)
