from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import Failure


def test_what_evaluation_needs_is_checked_first(failure: Failure, tiny_world_path: Path, tmp_path: Path) -> None:
    assert "no world 'doom/nowhere'" in failure("eval", "doom/nowhere")
    assert "no dataset at" in failure("eval", str(tiny_world_path), "--data", str(tmp_path / "missing"))
    for option in ("--clips", "--num-steps"):
        assert f"{option[2:].replace('-', '_')} was 0; give" in failure("eval", str(tiny_world_path), option, "0")
    assert "seed was -1; give" in failure("eval", str(tiny_world_path), "--seed", "-1")


@pytest.mark.parametrize("game", ["/tmp/elsewhere", "../elsewhere", "a/../../elsewhere", "", ".", "\x1b[2J", 100_000 * "x"])
def test_default_folders_never_come_from_a_file(failure: Failure, tiny_world_path: Path, tmp_path: Path, game: str) -> None:
    world = Path(shutil.copytree(tiny_world_path, tmp_path / "world"))
    config = json.loads((world / "config.json").read_text())
    (world / "config.json").write_text(json.dumps({**config, "game": game}))
    message = failure("eval", str(world))
    assert "game" in message and "\x1b" not in message and len(message) < 1_000
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
