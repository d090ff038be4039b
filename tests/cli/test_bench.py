from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.cli.app import main

from .conftest import Failure


def test_bench_stream(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    options = ["--batch", "2", "--frames", "5", "--dtypes", "fp32", "--isa", "avx2", "--threads", "1", "--device", "cpu"]
    main(["bench", "stream", str(tiny_world_path), *options, "--json", str(out)])
    (result,) = json.loads(out.read_text())["results"]
    assert result["dtype"] == "float32" and result["machine"]["threads"] == 1
    assert result["machine"]["onednn_max_cpu_isa"] == "AVX2"
    times = result["milliseconds"]
    assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    assert all(value > 0 for value in result["parts"].values())
    total = 2 / result["frames_per_second"] * 1e3
    assert sum(result["parts"].values()) == pytest.approx(total)
    assert "frames/s" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_found_first(failure: Failure, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = failure("bench", "stream", "doom/take-cover", "--json", str(tmp_path / "file" / "figures.json"))
    assert "cannot write" in line and "figures.json" in line
    assert "ends in .svg" in failure("bench", "kernels", "--plot", "times.png")


def test_worlds_are_looked_for_first(failure: Failure) -> None:
    assert "no world 'doom/nowhere'" in failure("bench", "stream", "doom/take-cover", "doom/nowhere")
    assert "no world 'doom/nowhere'" in failure("bench", "env", "--batch", "1", "2", "doom/nowhere")
