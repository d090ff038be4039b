from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.data.images import ClipWriter, save_mp4, save_png
from worldsim.errors import DataError, FileError


def frames(count: int, height: int = 20, width: int = 30) -> np.ndarray:
    """A white bar that moves over a green ground."""
    out = np.zeros((count, height, width, 3), np.uint8)
    out[..., 1] = 120
    for t, frame in enumerate(out):
        frame[:, t : t + 4] = 255
    return out


def read(path: Path) -> tuple[str, np.ndarray, Fraction]:
    with av.open(str(path.resolve())) as container:
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        rate = container.streams.video[0].average_rate
        assert rate is not None
        return container.format.name, shown, rate


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "mp4"), ("b.GIF", "gif"), ("10:30.mp4", "mp4"), ("run:1/a.gif", "gif")])
def test_a_clip_is_what_its_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    made = frames(8)
    with ClipWriter(name, fps=12.5, scale=2) as clip:
        for frame in made:
            clip.append(frame)
    assert len(clip) == 8
    found, shown, rate = read(tmp_path / name)
    assert kind in found and rate == Fraction(25, 2)
    assert shown.shape == (8, 40, 60, 3)
    assert np.abs(shown.astype(int) - made.repeat(2, 1).repeat(2, 2)).mean() < 6
    assert [path.name for path in (tmp_path / name).parent.iterdir() if path.is_file()] == [Path(name).name]


def test_odd_sides_get_one_more_pixel(tmp_path: Path) -> None:
    save_mp4(tmp_path / "a.mp4", frames(3, 15, 21), 10)
    assert read(tmp_path / "a.mp4")[1].shape == (3, 16, 22, 3)


def test_names_of_other_formats_are_refused(tmp_path: Path) -> None:
    for name in ("a.avi", "mp4", "a.mp4.txt"):
        with pytest.raises(FileError, match=r"ends in \.mp4 or \.gif"):
            ClipWriter(tmp_path / name, fps=10)
    with pytest.raises(FileError, match=r"ends in \.mp4"):
        save_mp4(tmp_path / "a.gif", frames(2), 10)
    with pytest.raises(FileError, match=r"ends in \.png"):
        save_png(tmp_path / "a.jpg", frames(1)[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("fps", "scale"), [(0, 1), (float("nan"), 1), (1e9, 1), (10, 0)])
def test_impossible_clips_are_refused(tmp_path: Path, fps: float, scale: int) -> None:
    with pytest.raises(DataError, match="give an fps above 0"):
        ClipWriter(tmp_path / "a.mp4", fps, scale)


def test_ctrl_c_keeps_the_frames_so_far(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ClipWriter(tmp_path / "a.mp4", 10) as clip:
        for frame in frames(5):
            clip.append(frame)
        raise KeyboardInterrupt
    assert len(read(tmp_path / "a.mp4")[1]) == 5


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    save_mp4(tmp_path / "a.mp4", frames(3), 10)
    with pytest.raises(DataError, match="all must be of one size"), ClipWriter(tmp_path / "a.mp4", 10) as clip:
        clip.append(frames(1)[0])
        clip.append(frames(1, 40)[0])
    with pytest.raises(DataError, match="no frames"), ClipWriter(tmp_path / "a.mp4", 10):
        pass
    assert len(read(tmp_path / "a.mp4")[1]) == 3 and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_one_error(full_disk: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 64, 64, 3), dtype=np.uint8)
    for name in ("a.mp4", "a.gif"):
        with (
            pytest.raises(FileError, match=rf"cannot write .*{name}: No space left on device"),
            ClipWriter(full_disk / name, 10) as clip,
        ):
            for frame in noise:
                clip.append(frame)
    assert not list(full_disk.iterdir())


def test_png_round_trip(tmp_path: Path) -> None:
    picture = frames(1)[0]
    save_png(tmp_path / "a:1.png", picture)
    assert np.array_equal(read(tmp_path / "a:1.png")[1][0], picture)
