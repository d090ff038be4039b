from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.cli.app import main
from worldsim.data.images import save_mp4, save_png
from worldsim.provenance.tags import read_claim
from worldsim.world import world_hash

from .conftest import Failure

FAST = ("--num-steps", "2", "--scale", "1", "--device", "cpu")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "given.mp4"
    save_mp4(path, np.random.default_rng(0).integers(0, 255, (4, 64, 96, 3), np.uint8), 8.75)
    return path


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def length(path: Path) -> int:
    return len(decoded(path))


def test_each_task_writes_a_clip(tiny_studio_path: Path, tmp_path: Path, clip: Path) -> None:
    picture, out = tmp_path / "photo.png", tmp_path / "out.mp4"
    save_png(picture, np.full((50, 70, 3), 90, np.uint8))
    for command, frames in (
        (["generate", "two soldier in a red room", "--frames", "3"], 3),
        (["generate", "a soldier", "--controls", "policy", "--frames", "3"], 3),
        (["animate", str(picture), "--frames", "4", "--controls", "a*3"], 4),
        (["extend", str(clip), "--after", "3", "--before", "2"], 9),
        (["connect", str(clip), str(clip), "--frames", "3"], 11),
        (["loop", str(clip), "--frames", "2"], 6),
        (["edit", str(clip), "--strength", "0.5", "--draft"], 4),
    ):
        main([*command, "--world", str(tiny_studio_path), "--out", str(out), "--no-expand", *FAST])
        assert length(out) == frames, command
        out.unlink()


def test_a_picture_and_a_sheet(tiny_studio_path: Path, tmp_path: Path) -> None:
    main(["image", "a red room", "--size", "64x32", "--world", str(tiny_studio_path), "--out", str(tmp_path / "a.png"), *FAST])
    assert (tmp_path / "a.png").exists()
    main(["generate", "--frames", "2", "--sheet", "--world", str(tiny_studio_path), "--out", str(tmp_path / "b.gif"), *FAST])
    assert (tmp_path / "b.gif").exists() and (tmp_path / "b-sheet.png").exists()


def test_a_file_of_prompts_and_what_a_short_one_becomes(
    tiny_studio_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("red room\n\ntwo soldier\n")
    options = ["--world", str(tiny_studio_path), "--out", str(tmp_path / "c.mp4"), "--frames", "2", *FAST]
    main(["generate", "--prompts", str(tmp_path / "prompts.txt"), *options])
    printed = capsys.readouterr().out.splitlines()
    assert [line.startswith("prompt: ") for line in printed] == [True, True, False, False]
    assert length(tmp_path / "c-001.mp4") == length(tmp_path / "c-002.mp4") == 2


def test_a_world_without_prompts_makes_clips_too(tiny_world_path: Path, tmp_path: Path) -> None:
    main(["generate", "--world", str(tiny_world_path), "--out", str(tmp_path / "d.png"), "--frames", "2", *FAST])
    assert (tmp_path / "d.png").stat().st_size > 100


def test_clips_say_what_they_are_and_given_frames_stay(tiny_studio_path: Path, tmp_path: Path, clip: Path) -> None:
    world, out = ("--world", str(tiny_studio_path)), tmp_path / "a.mp4"
    main(
        ["generate", "two soldier", "--frames", "2", "--seed", "5", "--no-expand", *world, "--out", str(out), *FAST, "--no-c2pa"]
    )
    claim = read_claim(out, ".mp4")
    assert claim is not None and claim.prompt == "two soldier" and claim.seed == 5 and not claim.composite
    assert claim.world == "test/studio" and claim.world_hash == world_hash(tiny_studio_path)
    assert claim.sampler.items() >= {"num_steps": 2, "guidance": 2.0, "temperature": 1.0, "runtime": "torch"}.items()
    strip = tmp_path / "b.png"
    main(["extend", str(clip), "--after", "1", *world, "--out", str(strip), *FAST, "--no-c2pa"])
    extended = read_claim(strip, ".png")
    assert extended is not None and extended.composite
    (shown,) = decoded(strip)
    assert np.array_equal(np.split(shown, 5, axis=1)[0], decoded(clip)[0])


def test_what_is_wrong_is_one_line(failure: Failure, tiny_studio_path: Path) -> None:
    world = ("--world", str(tiny_studio_path))
    assert "ends in .mp4 or .gif or .png" in failure("generate", *world, "--out", "clip.avi")
    assert "there is no file no.png" in failure("animate", "no.png", *world)
    assert "give a multiple of 16" in failure("image", "a room", "--size", "50x32", *world)
    assert "controls held 'x'" in failure("generate", "--controls", "x*3", *world)
