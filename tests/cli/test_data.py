from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Failure


def test_what_recording_needs_is_checked_first(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'doom/my-way-home'?" in failure("collect", "doom/my-way-hom")
    assert failure("collect", "doom/take-cover", "--seed", "-1") == "worldsim: seed was -1; give at least 0."
    assert failure("collect", "doom/take-cover", "--processes", "0") == "worldsim: processes was 0; give at least 1."
    assert not list(tmp_path.iterdir())
