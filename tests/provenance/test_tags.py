from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from worldsim.data.images import ClipWriter
from worldsim.errors import FileError
from worldsim.provenance import Claim, MarkOptions
from worldsim.provenance.tags import kind_of, read_claim

from .clips import CLAIM, ENDINGS, scenes, write

TAGS_ONLY = MarkOptions(c2pa=False, watermark=False)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_says_how_it_was_made(tmp_path: Path, ending: str) -> None:
    path, plain = write(tmp_path / f"a{ending}", marks=TAGS_ONLY), write(tmp_path / f"plain{ending}", claim=None)
    assert kind_of(path) == ending and read_claim(path, ending) == CLAIM and read_claim(plain, ending) is None
    assert len(list(tmp_path.iterdir())) == 2, "nothing else is left"
    if ending != ".mp4":  # whose encoder works in threads
        assert path.read_bytes() == write(tmp_path / f"b{ending}", marks=TAGS_ONLY).read_bytes(), "the same, byte for byte"
    for file in (path, plain):
        with av.open(str(file)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == (1 if ending == ".png" else 3)
        assert np.abs(frames[0].astype(int) - scenes(3)[0]).mean() < 6


@pytest.mark.parametrize("ending", ENDINGS)
def test_long_prompts_are_kept(tmp_path: Path, ending: str) -> None:
    claim = Claim("a", prompt="\N{DRAGON}" * 9000)
    read = read_claim(write(tmp_path / f"a{ending}", claim=claim, marks=TAGS_ONLY), ending)
    assert read == claim and len(read.prompt) == 4000


def test_an_interrupted_clip_is_marked_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ClipWriter(tmp_path / "a.gif", 10, 1, CLAIM, TAGS_ONLY) as clip:
        clip.append(scenes(1)[0])
        raise KeyboardInterrupt
    assert read_claim(tmp_path / "a.gif", ".gif") == CLAIM
    with pytest.raises(ZeroDivisionError), ClipWriter(tmp_path / "b.gif", 10, 1, CLAIM, TAGS_ONLY) as clip:
        clip.append(scenes(1)[0])
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize("ending", [".png", ".gif"])
def test_damaged_files_end_the_search(tmp_path: Path, ending: str) -> None:
    whole = write(tmp_path / f"a{ending}", marks=TAGS_ONLY).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / f"b{ending}"
    for cut in (13, 20, 40, 60, 400, len(whole) - 9):
        path.write_bytes(whole[:cut])
        assert read_claim(path, ending) in (None, CLAIM)
    for _ in range(50):
        changed = bytearray(whole)
        changed[rng.integers(12, min(900, len(whole)))] = rng.integers(256)
        path.write_bytes(bytes(changed))
        read_claim(path, ending)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\nhttp://example.org")
    with pytest.raises(FileError, match=r"is no \.mp4, \.png or \.gif by its first bytes"):
        kind_of(tmp_path / "a.mp4")
    with pytest.raises(FileError, match="not a plain file"):
        kind_of(tmp_path)
    with pytest.raises(FileError, match="no file"):
        kind_of(tmp_path / "none.mp4")
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(40))
    with pytest.raises(FileError, match="damaged"):
        read_claim(tmp_path / "b.mp4", ".mp4")


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_longest_names_are_marked_too(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / ("n" * (255 - len(ending)) + ending), marks=MarkOptions(watermark=False))
    assert read_claim(path, ending) == CLAIM
