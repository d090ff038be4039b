from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli.app import main

from .conftest import Failure


@pytest.mark.parametrize("name", ["dream.mp4", "dream.gif"])
def test_recordings(tiny_world_path: Path, tmp_path: Path, name: str) -> None:
    main(["record", str(tiny_world_path), "--out", str(tmp_path / name), "--frames", "3", "--device", "cpu"])
    assert (tmp_path / name).stat().st_size > 100


def test_options_come_in_any_order(tiny_world_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "dream.mp4"
    main(["record", "--frames", "2", "--device", "cpu", str(tiny_world_path), "--out", str(out)])
    assert out.exists()


def test_wrong_options_are_one_line(failure: Failure, tiny_world_path: Path) -> None:
    for option, value in (("frames", "0"), ("frames", "-1"), ("scale", "0"), ("seed", "-1"), ("num-steps", "0")):
        line = failure("record", str(tiny_world_path), f"--{option}", value)
        assert line.startswith(f"worldsim: {option.replace('-', '_')} was {value}; give a whole number ")
    assert "ends in .mp4 or .gif or .png" in failure("record", str(tiny_world_path), "--out", "clip.avi")
    assert "cannot write" in failure("record", str(tiny_world_path), "--out", "/dev/null/clip.mp4")


@pytest.mark.parametrize(
    ("option", "value"), [("speed", "nan"), ("zoom", "100000"), ("seed", "-1"), ("num-steps", "0"), ("sensitivity", "0")]
)
def test_play_checks_its_options_before_it_opens_a_window(failure: Failure, option: str, value: str) -> None:
    line = failure("play", "doom/take-cover", f"--{option}", value)
    assert line.startswith(f"worldsim: {option.replace('-', '_')} was ")


def test_play_names_what_is_not_there(failure: Failure, tmp_path: Path) -> None:
    assert "no world 'doom/take-cove'" in failure("play", "doom/take-cove")


def test_an_unknown_world_is_one_line(failure: Failure) -> None:
    line = failure("record", "doom/take-cove")
    assert "no world 'doom/take-cove'" in line and "Did you mean 'doom/take-cover'?" in line
