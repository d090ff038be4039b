from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_DIT, TINY_TOKENIZER

from worldsim import presets
from worldsim.bench import stream as bench
from worldsim.cli.app import main, parse_duration
from worldsim.data import Dataset
from worldsim.errors import WorldsimError
from worldsim.presets import Collection
from worldsim.train.calibrate import CodeCalibration
from worldsim.train.loop import LoopConfig
from worldsim.train.run import DynamicsStage, TokenizerStage, TrainConfig
from worldsim.world import World
from worldsim.world.shelf import count_parameters, describe_world, format_worlds

COMMANDS = ("collect", "train", "eval", "transfer", "play", "record", "generate", "worlds", "bench")


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr with which a command fails."""
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_help_lists_every_command_without_loading_torch() -> None:
    code = (
        "import sys; from worldsim.cli.app import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'torch', 'pygame'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(command in run.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert not exit.value.code and f"worldsim {command}" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-1h", "2d", "1h30m", "nan"])
def test_a_wrong_duration_is_explained(text: str) -> None:
    with pytest.raises(WorldsimError, match="such as 90s, 10m or 2h"):
        parse_duration(text)


def test_what_is_unknown_is_one_line_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'doom/take-cover'?" in failure(capsys, "train", "doom/take-cove", "--budget", "1s")
    assert "Did you mean 'doom/take-cover'?" in failure(capsys, "transfer", "doom/take-cove", "--budget", "1s")
    assert "Did you mean 'doom/my-way-home'?" in failure(capsys, "collect", "doom/my-way-hom")
    assert "no world 'doom/nowhere'" in failure(capsys, "eval", "doom/nowhere")
    assert "no world 'doom/nowhere'" in failure(capsys, "record", "doom/nowhere")
    assert "budget was 'soon'" in failure(capsys, "train", "doom/take-cover", "--budget", "soon")
    assert "refit_frames was -1; give" in failure(capsys, "transfer", "doom/take-cover", "--refit-frames", "-1")


def test_a_world_is_trained_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vizdoom")
    loop = LoopConfig(warmup=5)
    tiny = TrainConfig(
        "doom/take-cover",
        tokenizer=TokenizerStage(TINY_TOKENIZER, loop=loop, batch=4),
        dynamics=DynamicsStage(TINY_DIT, loop=loop, batch=4, frames=6, calibration=CodeCalibration(rounds=0)),
        starts=2,
    )
    monkeypatch.setitem(presets.PRESETS, "doom/take-cover", lambda: tiny)
    monkeypatch.setitem(presets.COLLECTIONS, "doom/take-cover", Collection(frames=40, eval_frames=20))
    monkeypatch.chdir(tmp_path)
    main(["train", "doom/take-cover", "--budget", "1s", "--no-compile", "--device", "cpu", "--json", "figures.json"])
    figures = json.loads(Path("figures.json").read_text())
    assert Path(figures["world"]) == Path("runs/doom/take-cover/world") and figures["budget_s"] == 1
    assert World.load(figures["world"], device="cpu").config.name == "doom/take-cover"
    assert Dataset("data/doom/take-cover", "train").total_frames >= 40 and not list(Path("data").rglob("*.part"))

    main(
        [
            "collect",
            "doom/take-cover",
            "--out",
            "data/doom/take-cover",
            "--frames",
            "40",
            "--eval-frames",
            "20",
            "--json",
            "c.json",
        ]
    )
    assert json.loads(Path("c.json").read_text())["policies"].keys() == {"random"}
    assert "train:" in capsys.readouterr().out


def test_recordings_and_generated_clips(tiny_world_path: Path, tmp_path: Path) -> None:
    for command, name in (("record", "dream.mp4"), ("generate", "clip.mp4"), ("generate", "picture.png")):
        main([command, str(tiny_world_path), "--out", str(tmp_path / name), "--frames", "3", "--device", "cpu"])
        assert (tmp_path / name).stat().st_size > 100


def test_generate_wants_a_picture_or_a_video(tiny_world_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ends in .png or .mp4" in failure(capsys, "generate", str(tiny_world_path), "--out", "clip.gif")


def test_worlds(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["worlds", "--json", str(tmp_path / "worlds.json")])
    listed = [world["name"] for world in json.loads((tmp_path / "worlds.json").read_text())["worlds"]]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["world", *listed]

    world, about = World.load(tiny_world_path, device="cpu"), describe_world(tiny_world_path)
    parameters = sum(value.numel() for net in (world.tokenizer, world.dynamics) for value in net.state_dict().values())
    assert about["parameters"] == parameters == sum(count_parameters(p) for p in tiny_world_path.glob("[dt]*.safetensors"))
    assert (about["width"], about["height"]) == (48, 32)
    assert "48x32" in format_worlds([about | {"figures": {"psnr_1": 30.123, "table": [1]}}]).splitlines()[1]
    assert format_worlds([about | {"figures": {"psnr_1": 30.123, "table": [1]}}]).endswith("psnr_1 30.12")


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
