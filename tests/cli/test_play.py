from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli.app import main

from .conftest import Failure


def test_recordings_and_generated_clips(tiny_world_path: Path, tmp_path: Path) -> None:
    for command, name in (("record", "dream.mp4"), ("generate", "clip.mp4"), ("generate", "picture.png")):
        main([command, str(tiny_world_path), "--out", str(tmp_path / name), "--frames", "3", "--device", "cpu"])
        assert (tmp_path / name).stat().st_size > 100


def test_options_come_in_any_order(tiny_world_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "dream.mp4"
    main(["record", "--frames", "2", "--device", "cpu", str(tiny_world_path), "--out", str(out)])
    assert out.exists()


def test_generate_wants_a_picture_or_a_video(failure: Failure, tiny_world_path: Path) -> None:
    assert "ends in .png or .mp4" in failure("generate", str(tiny_world_path), "--out", "clip.gif")


@pytest.mark.parametrize("command", ["record", "generate"])
def test_wrong_numbers_are_one_line(failure: Failure, tiny_world_path: Path, command: str) -> None:
    for option in ("frames", "scale"):
        assert failure(command, str(tiny_world_path), f"--{option}", "0") == f"worldsim: {option} was 0; give at least 1."
    assert failure(command, str(tiny_world_path), "--seed", "-1") == "worldsim: seed was -1; give at least 0."


def test_an_unknown_world_is_one_line(failure: Failure) -> None:
    line = failure("record", "doom/take-cove")
    assert "no world 'doom/take-cove'" in line and "Did you mean 'doom/take-cover'?" in line
