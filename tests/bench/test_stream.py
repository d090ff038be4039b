from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_DIT, TINY_SPEC, TINY_TOKENIZER

from worldsim.bench import kernels as bench_kernels
from worldsim.bench import stream as bench
from worldsim.bench.config import ARCHITECTURES, DTYPES, INSTRUCTIONS, EnvConfig, KernelsConfig, StreamConfig
from worldsim.bench.diamond import bench_diamond
from worldsim.bench.plot import save_plot
from worldsim.cli import main
from worldsim.errors import WorldsimError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.presets import STREAMS, find_stream
from worldsim.world.config import WorldConfig

TINY = WorldConfig(
    "tiny", "tiny", 32, 48, 60.0, 1, TINY_SPEC, TINY_TOKENIZER, replace(TINY_DIT, codes=0, reveals=False), num_steps=4
)


@pytest.mark.parametrize(("name", "millions"), [("360p-250m", 250), ("360p-1b", 1000)])
def test_presets_have_the_size_of_their_name(name: str, millions: int) -> None:
    config = find_stream(name)
    meta = torch.device("meta")
    model, tokenizer = DiT(config.dynamics, meta), Tokenizer(config.tokenizer, meta)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.03)
    assert config.control_spec.size == config.dynamics.controls
    assert config.dynamics.latent_channels == config.tokenizer.latent_channels
    height, width = tokenizer.config.grid(config.height, config.width)
    assert 256 <= height * width < 288 and config.dynamics.window == 32 and config.num_steps == 4


def test_a_preset_streams_with_random_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(STREAMS, "tiny", lambda: TINY)
    monkeypatch.setattr(bench, "in_own_process", lambda function, case, isa: function(case))
    out = tmp_path / "bench.json"
    options = ("--batch", "1", "--frames", "3", "--dtypes", "fp32", "--device", "cpu", "--threads", "1")
    main(["bench", "stream", "--preset", "tiny", *options, "--json", str(out)])
    (result,) = json.loads(out.read_text())["results"]
    assert result["world"] == "tiny" and result["num_steps"] == 4 and result["frames_per_second"] > 0
    assert set(result["parts"]) == set(bench.PARTS) and "tiny" in capsys.readouterr().out


def test_bench_of_a_long_run() -> None:
    calls: list[None] = []
    figures = bench.constancy(lambda: calls.append(None), 2 * bench.SPAN)
    assert len(calls) == 2 * bench.SPAN and figures["first"] > 0 and figures["last"] > 0


def test_an_unknown_preset_is_explained() -> None:
    with pytest.raises(WorldsimError, match="preset was '360p'; allowed: 360p-250m, 360p-1b"):
        bench.bench_stream(StreamConfig(preset=("360p",)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_kernels_cannot_be_timed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "kernels"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs a CUDA GPU" in line and "--compile-only" in line


def test_kernels_compile_without_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "kernels.json"
    main(["bench", "kernels", "norm_modulate", "--compile-only", "--arch", "sm_80", "--json", str(out)])
    rows = json.loads(out.read_text())["kernels"]
    assert {row["name"].split()[0] for row in rows} == {"forward_kernel", "backward_kernel"}
    assert all(row["arch"] == 80 and row["registers"] > 0 and not row["problems"] for row in rows)
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("registers", "stack", "spilled", "shared", "none with problems"))


def test_names_of_ops_and_architectures_are_checked() -> None:
    wrong: Any = ("sm_70",)
    with pytest.raises(WorldsimError, match="arch was 'sm_70'; allowed: 'sm_80', 'sm_90', 'sm_100'"):
        KernelsConfig(arch=wrong)
    wrong = ("attention",)
    with pytest.raises(WorldsimError, match="ops was 'attention'; allowed: 'frame_attention'"):
        KernelsConfig(ops=wrong)
    with pytest.raises(WorldsimError, match="rounds was 1; give a whole number of at least 5"):
        KernelsConfig(rounds=1)


def test_numbers_of_frames_are_checked() -> None:
    with pytest.raises(WorldsimError, match="long was 5; give at least 2000"):
        StreamConfig(long=5)
    with pytest.raises(WorldsimError, match="batch was 0; give a whole number of at least 1"):
        StreamConfig(batch=(1, 0))
    with pytest.raises(WorldsimError, match="frames was -1; give a whole number of at least 1"):
        EnvConfig(frames=-1)
    with pytest.raises(WorldsimError, match=r"dtypes was 'bf61'; .*'bf16'\. Did you mean 'bf16'\?"):
        StreamConfig(dtypes=("bf61",))  # type: ignore[arg-type]


def test_every_choice_of_a_config_is_one_there_is() -> None:
    """The configs name choices without importing what knows them."""
    assert tuple(bench.DTYPES) == DTYPES and tuple(bench.LIMITS) == INSTRUCTIONS
    assert tuple(bench_kernels.ARCHITECTURES) == ARCHITECTURES


def test_plot_and_table_show_other_implementations_and_failures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    size = {"op": "ring_attention", "size": "N=256 <S=32>"}
    cold, warm = {"median": 10.0, "p95": 11.0}, {"median": 8.0, "p95": 9.0}
    rows: list[dict[str, Any]] = [
        {**size, "implementation": "ours", "cold": cold, "warm": warm, "roofline": 0.5},
        {**size, "implementation": "Flex", "cold": {"median": 20.0, "p95": 21.0}, "warm": warm, "roofline": 0.25},
        {**size, "implementation": "SDPA cuDNN", "cold": {"error": "RuntimeError: no"}, "warm": {"error": "RuntimeError: no"}},
    ]
    figures = {"machine": {"gpu": "H200"}, "driver": "1", "commit": "abc", "date": "today", "results": rows}
    save_plot(tmp_path / "plot.svg", figures)
    drawn = (tmp_path / "plot.svg").read_text()
    assert ">Flex<" in drawn and "N=256 &lt;S=32&gt;: 10.0 us" in drawn and "cuDNN" not in drawn
    lines = [bench_kernels.format_row(row) for row in rows]
    assert "50%" in lines[0] and "20.0" in lines[1] and lines[2].endswith("RuntimeError: no")


def test_diamond_is_timed_from_a_checkout(tmp_path: Path) -> None:
    """A checkout in small: the names and signatures that are used of it, and modules that could not be imported whole."""
    folder = tmp_path / "src" / "models" / "diffusion"
    with pytest.raises(WorldsimError, match="git clone"):
        bench_diamond(tmp_path, [1], frames=1, device="cpu")
    folder.mkdir(parents=True)
    (tmp_path / "src" / "models" / "__init__.py").write_text("raise ImportError('needs everything')\n")
    (folder / "__init__.py").write_text(DIAMOND)
    slow, fast = bench_diamond(tmp_path, [3], frames=2, device="cpu", threads=1)
    assert (slow["dtype"], fast["dtype"], slow["batch"]) == ("float32", "bfloat16", 3)
    assert slow["parameters"] == 5 and 0 < slow["steps_per_second"] < 3 / 0.01, "each call sleeps 10 ms"


DIAMOND = """
import time, torch
from data import Batch
from utils import LossAndLogs

class Sizes:
    def __init__(self, *values): self.values = values

InnerModelConfig = DenoiserConfig = DiffusionSamplerConfig = Sizes

class Denoiser(torch.nn.Linear):
    def __init__(self, config): super().__init__(4, 1)

class DiffusionSampler:
    def __init__(self, denoiser, config):
        assert config.values == (3,)
        self.denoiser = denoiser
    def sample(self, seen, actions):
        assert seen.shape == (3, 4, 3, 64, 64) and actions.shape == (3, 4)
        time.sleep(0.01)
"""
