from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from worldsim.data import Dataset

from .conftest import Failure


def test_what_recording_needs_is_checked_first(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'doom/my-way-home'?" in failure("collect", "doom/my-way-hom")
    assert failure("collect", "doom/take-cover", "--seed", "-1") == "worldsim: seed was -1; give a whole number of at least 0."
    assert (
        failure("collect", "doom/take-cover", "--processes", "0")
        == "worldsim: processes was 0; give a whole number of at least 1."
    )
    assert not list(tmp_path.iterdir())


def wait_for(happened: Callable[[], bool]) -> bool:
    """Whether it happened within a minute."""
    for _ in range(600):
        if happened():
            return True
        time.sleep(0.1)
    return False


def group_exists(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_sigterm_ends_every_process_and_keeps_finished_episodes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worldsim", "collect", "toy/dodge", "--frames", "1000000", "--eval-frames", "0"]
    with subprocess.Popen([*command, "--out", "d", "--processes", "2"], cwd=tmp_path, start_new_session=True) as run:
        try:
            assert wait_for(lambda: any(tmp_path.glob("d/meta/episodes/**/*.parquet")))
            os.kill(run.pid, signal.SIGTERM)
            assert run.wait(60) == 128 + signal.SIGTERM
            assert wait_for(lambda: not group_exists(run.pid)), "a process of the recording is still there"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
    assert Dataset(tmp_path / "d").total_frames > 0
