from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Failure


def test_what_transfer_needs_is_checked_first(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'doom/take-cover'?" in failure("transfer", "doom/take-cove", "--budget", "1s")
    assert "refit_frames was -1; give" in failure("transfer", "doom/take-cover", "--refit-frames", "-1")
    assert "refit_budget was '1d'" in failure("transfer", "doom/take-cover", "--refit-budget", "1d")
    assert "seeds was -2" in failure("transfer", "--seeds", "1", "-2", "doom/take-cover")
    assert "servers was 2 without a cluster" in failure("transfer", "doom/take-cover", "--servers", "2")
    assert "seeds was empty" in failure("transfer", "doom/take-cover", "--seeds")
    (tmp_path / "file").write_text("here already")
    for wrong in (("--out", "file"), ("--card", "file/card.md"), ("--card", "card.txt"), ("--json", ".")):
        assert "cannot" in failure("transfer", "toy/dodge", *wrong) or "is a folder" in failure("transfer", "toy/dodge", *wrong)
    assert "keep was nan" in failure("transfer", "toy/dodge", "--config.ppo.keep", "nan")
    assert "episodes was 0" in failure("transfer", "toy/dodge", "--config.episodes", "0")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
