from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_SPEC

from worldsim.cli.app import main
from worldsim.data import DatasetInfo, Recorder

from .conftest import Failure


def test_what_evaluation_needs_is_checked_first(failure: Failure, tiny_world_path: Path, tmp_path: Path) -> None:
    assert "no world 'doom/nowhere'" in failure("eval", "doom/nowhere")
    assert "no dataset at" in failure("eval", str(tiny_world_path), "--data", str(tmp_path / "missing"))
    for option in ("--clips", "--num-steps"):
        assert f"{option[2:].replace('-', '_')} was 0; give" in failure("eval", str(tiny_world_path), option, "0")
    assert "seed was -1; give" in failure("eval", str(tiny_world_path), "--seed", "-1")


def test_a_sheet_can_be_all_that_is_made(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = DatasetInfo("test/tiny", TINY_SPEC, height=32, width=48, fps=17.5, frame_skip=2)
    with Recorder(tmp_path / "data", info) as recorder:
        recorder.begin(seed=0, split="eval")
        for row in range(9):
            recorder.append(np.zeros((32, 48, 3), np.uint8), np.zeros(5, np.float32), 0, False, row == 8)
        recorder.end()
    few = ("--sheet-frames", "4", "--sheet-every", "2", "--dreams", "1")
    main(["eval", str(tiny_world_path), "--data", str(tmp_path / "data"), "--out", str(tmp_path), "--sheet-only", *few])
    assert capsys.readouterr().out.split() == [str(tmp_path / "dreams.png")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "dreams.png"]


@pytest.mark.parametrize("game", ["/tmp/elsewhere", "../elsewhere", "a/../../elsewhere", "", ".", "\x1b[2J", 100_000 * "x"])
def test_default_folders_never_come_from_a_file(failure: Failure, tiny_world_path: Path, tmp_path: Path, game: str) -> None:
    world = Path(shutil.copytree(tiny_world_path, tmp_path / "world"))
    config = json.loads((world / "config.json").read_text())
    (world / "config.json").write_text(json.dumps({**config, "game": game}))
    message = failure("eval", str(world))
    assert "game" in message and "\x1b" not in message and len(message) < 1_000
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
