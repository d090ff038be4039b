from __future__ import annotations

from pathlib import Path

from .conftest import Failure


def test_what_evaluation_needs_is_checked_first(failure: Failure, tiny_world_path: Path, tmp_path: Path) -> None:
    assert "no world 'doom/nowhere'" in failure("eval", "doom/nowhere")
    assert "no dataset at" in failure("eval", str(tiny_world_path), "--data", str(tmp_path / "missing"))
    assert "clips" in failure("eval", str(tiny_world_path), "--clips", "0")
