from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.bench import stream as bench
from worldsim.cli.app import main
from worldsim.errors import WorldsimError


def test_bench(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_bench_of_a_long_run() -> None:
    calls: list[None] = []
    figures = bench.constancy(lambda: calls.append(None), 2 * bench.SPAN)
    assert len(calls) == 2 * bench.SPAN and figures["first"] > 0 and figures["last"] > 0


def test_bench_options_are_checked() -> None:
    with pytest.raises(WorldsimError, match=r"long were .* give at least"):
        bench.bench_stream(["x"], long=5)
    with pytest.raises(WorldsimError, match=r"dtype was 'bf61'; allowed: auto, fp32, bf16\. Did you mean 'bf16'\?"):
        bench.bench_stream(["x"], dtypes=["bf61"])
