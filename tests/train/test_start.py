from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_DIT, TINY_SPEC, TINY_TOKENIZER, randomize

from worldsim.errors import FileError, TrainingError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.train.config import DynamicsStage, Run, TokenizerStage, TrainConfig
from worldsim.train.start import Start, check_alike, first_weights, holding
from worldsim.train.store import LatentStore
from worldsim.world import WorldConfig

CONFIG = TrainConfig("test/square", TokenizerStage(TINY_TOKENIZER), DynamicsStage(TINY_DIT))


def start(name: str) -> Start:
    config = WorldConfig("x", "x", 32, 32, 1.0, 1, TINY_SPEC, TINY_TOKENIZER, TINY_DIT)
    return Start(name, config, Tokenizer(TINY_TOKENIZER), DiT(TINY_DIT))


def test_a_second_training_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from worldsim.train.config import TrainConfig\n"
        "from worldsim.train.start import holding\n"
        "with holding(Path(sys.argv[1]), TrainConfig('test/square'), None): print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match=rf"another process is training in .*run.*held by process {other.pid} on "):
            hold(tmp_path / "run", CONFIG)
        other.stdin.close()
    with holding(tmp_path / "run", CONFIG, None):
        assert json.loads((tmp_path / "run/running.json").read_text())["process"] == os.getpid()
    assert not (tmp_path / "run/running.json").exists()


def test_leftovers_of_killed_runs_go_and_nothing_else(tmp_path: Path) -> None:
    ours = [".stage.ckpt.0123abcd.worldsim-tmp", "cache/.latents.bin.0123abcd.worldsim-tmp"]
    others = ["notes.tmp", ".stage.ckpt.mine.worldsim-tmp", "cache/latents.tmp", "deeper/.a.0123abcd.worldsim-tmp"]
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with holding(tmp_path, CONFIG, None):
        assert not any((tmp_path / name).exists() for name in ours)
        assert all((tmp_path / name).exists() for name in others)


def hold(folder: Path, config: TrainConfig, start: Start | None = None) -> None:
    with holding(folder, config, start):
        pass


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    for _ in range(2):
        hold(tmp_path, CONFIG)
    with pytest.raises(TrainingError, match="holds a run with name 'test/square', and this one has 'test/other'; give another"):
        hold(tmp_path, replace(CONFIG, name="test/other"))
    with pytest.raises(TrainingError, match="holds a run with start None, and this one has 'abc'"):
        hold(tmp_path, CONFIG, start("abc"))
    (tmp_path / "run.json").write_bytes(b"")  # damaged
    hold(tmp_path, CONFIG, start("abc"))


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(FileError, match=r"cannot write .*run: Not a directory"):
        hold(tmp_path / "run", CONFIG)


@pytest.fixture
def run(square: Path, tmp_path: Path) -> Run:
    return Run.open(CONFIG, str(square), str(tmp_path / "run"), "cpu", compiled=False)


@pytest.fixture
def store(run: Run) -> LatentStore:
    torch.manual_seed(0)
    return LatentStore(run.dataset, Tokenizer(TINY_TOKENIZER), run.cache("latents.bin"), run.device)


def test_a_world_without_codewords_goes_on_with_some(run: Run, store: LatentStore, capsys: pytest.CaptureFixture[str]) -> None:
    begun = DiT(replace(TINY_DIT, controls=2, codes=0, reveals=False))
    randomize(begun)
    model = first_weights(run, store, Tokenizer(TINY_TOKENIZER), begun, 9.0)
    assert model.config == replace(TINY_DIT, controls=2) and model.codebook.abs().sum() > 0
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in begun.state_dict().items())
    assert (
        f"{len(begun.state_dict())} tensors; new: code_head.bias, code_head.weight, codebook, reveal.weight"
        in capsys.readouterr().out
    )
    z, levels = torch.randn(1, 2, 2, 2, 6), torch.ones(1, 2)
    given = (z, levels, torch.zeros(1, 2), torch.zeros(1, 2, 2))
    assert torch.allclose(model(*given).x, begun(*given).x), "it dreams as before"


def test_a_world_with_codewords_keeps_them(run: Run, store: LatentStore, capsys: pytest.CaptureFixture[str]) -> None:
    begun = DiT(replace(TINY_DIT, controls=2))
    randomize(begun)
    model = first_weights(run, store, Tokenizer(TINY_TOKENIZER), begun, 9.0)
    assert torch.equal(model.codebook, begun.codebook) and not run.cache("codebook.pt").exists()
    assert "new: none" in capsys.readouterr().out


def test_random_weights_come_with_fitted_codewords(run: Run, store: LatentStore) -> None:
    model = first_weights(run, store, Tokenizer(TINY_TOKENIZER), None, 9.0)
    assert model.codebook.abs().sum() > 0 and run.cache("codebook.pt").exists()


def test_only_the_window_and_missing_codewords_may_differ() -> None:
    check_alike(replace(TINY_DIT, window=9, codes=0, code_floor=0.5, reveals=False), TINY_DIT)
    with pytest.raises(TrainingError, match="the world to start from has width=64, depth=5, the preset width=32, depth=4; start"):
        check_alike(replace(TINY_DIT, width=64, depth=5), TINY_DIT)
    with pytest.raises(TrainingError, match="has codes=5, the preset codes=0"):
        check_alike(TINY_DIT, replace(TINY_DIT, codes=0, reveals=False))
    with pytest.raises(TrainingError, match="has codes=7, the preset codes=5"):
        check_alike(replace(TINY_DIT, codes=7), TINY_DIT)
