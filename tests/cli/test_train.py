from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import TINY_DIT, TINY_TOKENIZER

from worldsim import presets
from worldsim.cli.app import main
from worldsim.data import Dataset
from worldsim.presets import Collection
from worldsim.train.calibrate import CodeCalibration
from worldsim.train.config import DynamicsStage, TokenizerStage, TrainConfig
from worldsim.train.loop import LoopConfig
from worldsim.world import World

from .conftest import Failure


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


def test_a_dataset_given_must_exist(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recorded").mkdir()
    for command in ("train", "transfer"):
        line = failure(command, "doom/take-cover", "--data", "recordd", "--budget", "1s")
        assert "no dataset at recordd" in line and "Did you mean 'recorded'?" in line
    assert [path.name for path in tmp_path.iterdir()] == ["recorded"]


def test_what_training_needs_is_checked_first(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'doom/take-cover'?" in failure("train", "doom/take-cove", "--budget", "1s")
    assert "budget was 'soon'" in failure("train", "doom/take-cover", "--budget", "soon")
    assert "no world 'doom/nowhere'" in failure("train", "doom/take-cover", "--start", "doom/nowhere", "--budget", "1s")
    Path("file").touch()
    assert "cannot write file/run" in failure("train", "doom/take-cover", "--out", "file/run", "--budget", "1s")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--nproc", "0"), "nproc was 0; give a whole number of at least 1"),
        (("--nproc", "4", "--batches", "2"), "batches was 2 and nproc 4; give at least one batch for each process"),
        (("--restarts", "-1"), "restarts was -1"),
    ],
)
def test_processes_that_cannot_be_are_refused(options: tuple[str, ...], said: str, failure: Failure) -> None:
    assert said in failure("train", "toy/dodge", *options)


def test_processes_are_not_started_inside_torchrun(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert "nproc was 2 inside torchrun" in failure("train", "toy/dodge", "--nproc", "2")
