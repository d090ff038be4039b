from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.errors import FileError, WorldsimError
from worldsim.studio.clip import check_clip, writing_clip


def moving_dot(frames: int, height: int, width: int) -> list[np.ndarray]:
    clip = [np.full((height, width, 3), 40, np.uint8) for _ in range(frames)]
    for t, frame in enumerate(clip):
        frame[height // 2 :, (3 * t) % width] = (250, 60, 20)
    return clip


def read(path: Path) -> tuple[list[np.ndarray], float]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return frames, float(container.streams.video[0].average_rate or 0)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "CLIP.GIF"])
@pytest.mark.parametrize("size", [(16, 24), (15, 23)])
def test_the_name_says_what_kind_of_file_it_is(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    clip, path = moving_dot(9, *size), tmp_path / "deep" / name
    with writing_clip(path, size, fps=17.5, frames=9, scale=3) as append:
        for frame in clip:
            append(frame)
    frames, fps = read(path)
    assert path.read_bytes()[:3] == b"GIF" if path.suffix.lower() == ".gif" else path.read_bytes()[4:8] == b"ftyp"
    assert len(frames) == 9 and fps == pytest.approx(17.5, rel=0.2)  # a gif counts in hundredths of a second
    for given, seen in zip(clip, frames, strict=True):
        wanted = given.repeat(3, 0).repeat(3, 1)
        assert np.abs(seen[: wanted.shape[0], : wanted.shape[1]].astype(int) - wanted).mean() < 6


def test_a_picture_shows_all_frames(tmp_path: Path) -> None:
    clip = moving_dot(4, 8, 12)
    with writing_clip(tmp_path / "clip.png", (8, 12), fps=10, frames=4, scale=2) as append:
        for frame in clip:
            append(frame)
    (picture,), _ = read(tmp_path / "clip.png")
    assert np.array_equal(picture, np.concatenate(clip, axis=1).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.png"])
def test_ctrl_c_keeps_what_was_made_and_an_error_nothing(tmp_path: Path, name: str) -> None:
    def write(path: Path, error: BaseException, frames: int) -> None:
        with pytest.raises(type(error)), writing_clip(path, (16, 16), fps=10, frames=9) as append:
            for frame in moving_dot(frames, 16, 16):
                append(frame)
            raise error

    write(tmp_path / name, KeyboardInterrupt(), 5)
    frames, _ = read(tmp_path / name)
    assert len(frames) == (1 if name.endswith("png") else 5)
    write(tmp_path / f"none-{name}", KeyboardInterrupt(), 0)
    write(tmp_path / f"error-{name}", ZeroDivisionError(), 5)
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing else is left behind"


@pytest.mark.parametrize(
    ("name", "frames", "scale", "message"),
    [
        ("clip.avi", 1, 1, r"'.*clip\.avi' cannot be written; give a name that ends in \.mp4 or \.gif or \.png"),
        ("clip.mp4", 0, 1, "frames was 0; give a whole number of at least 1"),
        ("clip.mp4", -1, 1, "frames was -1; give a whole number of at least 1"),
        ("clip.mp4", 1, 0, "scale was 0; give a whole number from 1 to 64"),
        ("clip.mp4", 1, 10**9, "scale was 1000000000; give"),
        ("clip.gif", 1, 64, "would have 10240x6400 pixels"),
        ("clip.png", 1000, 1, r"would have 160000x100 pixels.*fewer frames"),
        ("file/clip.mp4", 1, 1, "Not a directory"),
    ],
)
def test_what_cannot_be_written_is_found_before_the_work(
    tmp_path: Path, name: str, frames: int, scale: int, message: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((WorldsimError, FileError), match=message):
        check_clip(tmp_path / name, (100, 160), frames, scale)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_colon_in_a_path_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with writing_clip(Path("10:30.mp4"), (16, 16), fps=10, frames=1) as append:
        append(moving_dot(1, 16, 16)[0])
    assert len(read(tmp_path / "10:30.mp4")[0]) == 1
