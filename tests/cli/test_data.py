from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from worldsim.cli.app import main
from worldsim.data import Dataset

from .conftest import Failure


def test_what_recording_needs_is_checked_first(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'doom/my-way-home'?" in failure("collect", "doom/my-way-hom")
    for option, value in (("seed", "-1"), ("frames", "-1"), ("eval-frames", "-1"), ("processes", "0")):
        line = failure("collect", f"--{option}", value, "doom/take-cover")
        assert line.startswith(f"worldsim: {option.replace('-', '_')} was {value}; give a whole number from ")
    assert "sources was empty" in failure("data", "merge", "--out", "both")
    assert "eval_share was 2.0" in failure("data", "merge", "a", "b", "--out", "both", "--eval-share", "2")
    assert "cannot write" in failure("collect", "toy/dodge", "--json", "/dev/null/figures.json")
    assert not list(tmp_path.iterdir())


def test_recordings_are_joined_and_checked(tmp_path: Path, failure: Failure, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        options = ["--frames", "40", "--eval-frames", "0", "--processes", "1", "--seed", seed]
        main(["collect", "toy/dodge", *options, "--out", str(tmp_path / seed)])
    sources, out = [str(tmp_path / "0"), str(tmp_path / "1")], str(tmp_path / "both")
    main(["data", "merge", "--out", out, "--eval-share", "0.3", *sources, "--json", str(tmp_path / "merged.json")])
    figures = json.loads((tmp_path / "merged.json").read_text())
    assert figures["skipped"] == 0 and figures["frames"].keys() == {"eval", "train"}
    assert sum(figures["frames"].values()) == sum(Dataset(source).total_frames for source in sources)

    capsys.readouterr()
    main(["data", "check", out])
    assert "no problems" in capsys.readouterr().out
    (video, *_) = sorted((tmp_path / "both").rglob("*.mp4"))
    video.write_bytes(video.read_bytes()[:100])
    with pytest.raises(SystemExit) as exit:
        main(["data", "check", out])
    assert exit.value.code == 1 and str(video) in capsys.readouterr().out
    assert "no dataset at" in failure("data", "merge", sources[0], str(tmp_path / "nowhere"), "--out", out)
    assert "no dataset at" in failure("data", "check", str(tmp_path / "nowhere"))


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
