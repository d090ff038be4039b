"""Recordings of another program, from its window to the dataset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from worldsim.bench.display import VirtualScreen
from worldsim.capture.config import CaptureConfig
from worldsim.data import Dataset
from worldsim.data.check import check
from worldsim.errors import DataError, DisplayError

from .conftest import wait_for, xdotool

Toy = subprocess.Popen[bytes]


def config(folder: Path, **options: object) -> CaptureConfig:
    about = {"keys": ("1", "2", "3"), "mouse": 0.0, "buttons": (), "fps": 10.0, "out": folder / "data"}
    return CaptureConfig("toy window", **{**about, **options})  # type: ignore[arg-type]


def test_the_hotkey_starts_and_stops_episodes(toy: Toy, screen: VirtualScreen, tmp_path: Path) -> None:
    from worldsim.capture.session import capture, report

    def play() -> None:
        for episode in range(1, 3):
            xdotool(screen, "key", "F9")
            wait_for(lambda: " ".join(map(str, tmp_path.glob("data/.partial/*"))))
            time.sleep(0.3)
            xdotool(screen, "keydown", "2")
            time.sleep(0.5)
            xdotool(screen, "keyup", "2")
            time.sleep(0.5)
            xdotool(screen, "key", "F9")
            wait_for(lambda: "saved" if len(list(tmp_path.glob("data/meta/episodes/*/*"))) == episode else "")  # noqa: B023
        toy.terminate()

    player = threading.Thread(target=play)
    counts = capture(config(tmp_path, delay_ms=60.0, eval_share=0.3), started=player.start)
    player.join()
    data = Dataset(tmp_path / "data")
    assert counts.episodes == len(data) == 2 and f"2 episodes, {data.total_frames} frames" in report(counts, data.root)
    assert [episode.split for episode in data.episodes] == ["train", "eval"]
    assert data.info.game == "capture/toy-window" and data.frame_shape == (80, 112, 3) and data.info.fps == 10
    for i in range(2):
        rows = data.episode(i)
        assert rows.actions[:, 1].sum() >= 1 and not rows.actions[:, [0, 2]].any()
        steps = np.diff(rows.states[:, 0])
        assert rows.states[0, 0] == 0 and (steps > 0).all() and np.median(steps) == pytest.approx(0.1, abs=0.03)
        about = json.loads(str(data.episodes[i].capture))
        assert about["window"] == "worldsim toy window" and about["delay_ms"] == 60 and about["backend"] == "x11"
    assert check(data.root, progress=False)["problems"] == []


def test_a_long_recording_is_cut_into_episodes_and_stops_by_itself(toy: Toy, tmp_path: Path) -> None:
    from worldsim.capture.session import capture

    counts = capture(config(tmp_path, now=True, seconds=2.5, episode_seconds=1.0))
    lengths = Dataset(tmp_path / "data").lengths
    assert len(lengths) == 3 and counts.frames == lengths.sum() and 20 <= counts.frames <= 26


def test_frames_that_there_was_no_time_for_are_repeated_and_counted(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from worldsim.capture.grabber import Grabber
    from worldsim.capture.session import capture

    grab, looks = Grabber.grab, 0

    def slow(grabber: Grabber, region: object) -> object:
        nonlocal looks
        looks += 1
        if looks == 5:
            time.sleep(0.8)
        return grab(grabber, region)  # type: ignore[arg-type]

    monkeypatch.setattr(Grabber, "grab", slow)
    counts = capture(config(tmp_path, now=True, seconds=2.0))
    assert counts.dropped >= 6 and "frames were dropped" in capsys.readouterr().err
    assert json.loads(str(Dataset(tmp_path / "data").episodes[0].capture))["dropped"] == counts.dropped


def test_another_window_in_front_gets_its_keys_alone(toy: Toy, screen: VirtualScreen, tmp_path: Path) -> None:
    from Xlib import X, display

    from worldsim.capture.session import capture

    server = display.Display()
    other = server.screen().root.create_window(500, 400, 50, 50, 0, X.CopyFromParent)
    other.map()
    server.sync()

    def play() -> None:
        time.sleep(0.5)
        xdotool(screen, "keydown", "1")
        time.sleep(0.5)
        other.set_input_focus(X.RevertToParent, X.CurrentTime)
        server.sync()
        time.sleep(0.3)
        xdotool(screen, "key", "2")
        time.sleep(0.3)

    player = threading.Thread(target=play)
    capture(config(tmp_path, now=True, seconds=2.5), started=player.start)
    player.join()
    actions = Dataset(tmp_path / "data").rows.actions
    assert actions[:, 0].any() and not actions[-1].any(), "what was held is let go"
    assert not actions[:, 1].any()
    server.close()


def test_what_cannot_be_recorded_is_refused_first(toy: Toy, tmp_path: Path) -> None:
    from worldsim.capture.session import capture

    capture(config(tmp_path, now=True, seconds=0.5))
    with pytest.raises(DataError, match=r"fps 10\.0 there, 5\.0 here"):
        capture(config(tmp_path, fps=5.0))
    with pytest.raises(DisplayError, match="no window has"):
        capture(CaptureConfig("Nothing of that name", out=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_ends_early_keeps_finished_episodes(number: int, toy: Toy, screen: VirtualScreen, tmp_path: Path) -> None:
    options = ["--window", "toy window", "--out", "data", "--now", "--episode-seconds", "1", "--fps", "10"]
    command = [sys.executable, "-m", "worldsim", "capture", *options]
    with subprocess.Popen(command, cwd=tmp_path, env=screen.environment, stdout=subprocess.PIPE, text=True) as run:
        wait_for(lambda: "two" if len(list(tmp_path.glob("data/meta/episodes/*/*"))) == 2 else "")
        os.kill(run.pid, number)
        assert run.stdout is not None
        said = run.stdout.read()
    data = Dataset(tmp_path / "data")
    if number == signal.SIGINT:
        assert run.returncode == 0 and f"{len(data)} episodes, {data.total_frames} frames: data" in said
        assert check(data.root, progress=False)["problems"] == []
    else:
        assert len(data) == 2 and [len(data.frames(i)) for i in range(2)] == data.lengths.tolist()


def test_a_full_disk_is_one_message_and_leaves_what_was_recorded(toy: Toy, screen: VirtualScreen, full_disk: Path) -> None:
    options = ["--window", "toy window", "--now", "--seconds", "0.5", "--delay-ms", "0", "--out", str(full_disk / "data")]
    command = [sys.executable, "-m", "worldsim", "capture", *options]
    subprocess.run(command, env=screen.environment, cwd="/", check=True, capture_output=True)
    before = Dataset(full_disk / "data").episodes
    with suppress(OSError), (full_disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    run = subprocess.run(command, env=screen.environment, cwd="/", capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "No space left on device" in run.stderr, run.stderr
    data = Dataset(full_disk / "data")
    assert data.episodes == before and check(data.root, progress=False)["problems"] == []
    assert not (data.root / ".partial").exists()
