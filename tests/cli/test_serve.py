from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from worldsim.cli import serve as command
from worldsim.serve.config import TOKEN

from .conftest import Failure

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "70000"), "port was 70000; give a whole number from 0 to 65,535."),
        (("--limit", "0"), "limit was 0; give a whole number from 1 to 256."),
        (("--idle", "nan"), "idle was nan; give a number of at least 1 and at most 86400."),
        (("--allow-host", "http://x"), "allow_host has 'http://x'; give names"),
        (("doom/nowhere",), "no world 'doom/nowhere'"),
        (("--host", "nowhere.invalid"), "cannot listen at nowhere.invalid, port 8000"),
    ],
)
def test_what_is_wrong_is_one_line(failure: Failure, options: tuple[str, ...], message: str) -> None:
    assert message in failure("serve", *options)


def test_a_weak_token_is_refused(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    for weak in ("short", "with spaces in it and more", "ümlaute-sind-keine-gute-idee"):
        monkeypatch.setenv(TOKEN, weak)
        assert failure("serve").startswith(f"worldsim: {TOKEN} has {len(weak)} characters or odd ones; give at least 16")


def test_without_the_extra_it_says_what_to_install(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert failure("serve").endswith("install with: pip install 'worldsim-dit[serve]'")


@pytest.mark.skipif(sys.platform != "linux", reason="displays have names on Linux alone")
def test_without_a_display_play_prints_an_address(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name and name != "SDL_VIDEODRIVER"}
    command = [sys.executable, str(ROOT / "play.py")]
    options: dict[str, Any] = {"env": environment, "cwd": tmp_path, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as program:
        assert program.stdout is not None
        lines = list(islice((line for line in program.stdout if "no display" in line or "127.0.0.1" in line), 2))
        program.send_signal(signal.SIGTERM)
    assert lines[0] == "there is no display to open a window on; play in a browser instead\n"
    taken = "cannot listen at 127.0.0.1, port 8000"  # by another program on this machine
    assert lines[1] == "play at http://127.0.0.1:8000/\n" or taken in lines[1]
