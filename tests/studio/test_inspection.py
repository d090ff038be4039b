from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from provenance.clips import CLAIM, ENDINGS, scenes, write

from worldsim.cli.app import main
from worldsim.data import Dataset
from worldsim.data.exporters.clip import export_clip
from worldsim.data.exporters.config import ExportConfig
from worldsim.data.format import video_path
from worldsim.errors import FileError
from worldsim.provenance import Claim, MarkOptions
from worldsim.provenance.tags import read_claim
from worldsim.studio import inspection
from worldsim.studio.config import RecordConfig
from worldsim.studio.inspection import format_dataset, format_inspection, inspect_dataset, inspect_file, ranges, read_frames
from worldsim.studio.record import record
from worldsim.world import world_hash


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_dream_shows_all_its_marks(tiny_world_path: Path, tmp_path: Path, ending: str) -> None:
    out = record(RecordConfig(str(tiny_world_path), tmp_path / f"a{ending}", frames=5, seed=3, device="cpu"))
    report, digest = inspect_file(out), world_hash(tiny_world_path)
    assert report["claim"]["world_hash"] == digest and report["claim"]["seed"] == 3
    assert report["manifest"]["valid"] and report["manifest"]["claim"] == report["claim"]
    if ending == ".gif":  # 256 colours are too few for so small a picture of noise
        return
    assert report["watermark"]["sure"] and report["watermark"]["world_hash"] == digest[:8]
    text = format_inspection("a", report)
    assert f"world test/tiny ({digest}), seed 3" in text and "C2PA manifest: valid, signed on this computer" in text
    assert f"of a world whose hash begins with {digest[:8]}; 32 of 32" in text and "different worlds" not in text


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.png", "data"])
def test_a_real_game_shows_none(tmp_path: Path, name: str) -> None:
    out = record(RecordConfig("toy/dodge", tmp_path / name, frames=6, episodes=1, policy="random"))
    if out.is_dir():
        assert inspect_dataset(out) == {"episodes": 1, "dreamed": []}
        assert read_claim(video_path(out, 0), ".mp4") is None
        out = tmp_path / "b.mp4"
        export_clip(Dataset(tmp_path / name), ExportConfig(tmp_path / name, "mp4", out))
    report = inspect_file(out)
    assert report["claim"] is None and report["manifest"] is None and not report["watermark"]["sure"]
    assert "do not say that it is generated" in format_inspection("a", report)


def test_dreamed_episodes_and_their_clips_say_so(tiny_world_path: Path, tmp_path: Path) -> None:
    root, digest = tmp_path / "data", world_hash(tiny_world_path)
    record(RecordConfig(str(tiny_world_path), root, frames=12, episodes=2, seed=4, device="cpu"))
    assert (claim := read_claim(video_path(root, 0), ".mp4")) and (claim.world_hash, claim.seed) == (digest, 4)
    report = inspect_dataset(root)
    (world,) = report["dreamed"]
    assert (world["world"], world["world_hash"]) == ("test/tiny", digest) and len(world["episodes"]) == report["episodes"]
    assert f"by test/tiny ({digest}): episodes 0" in format_dataset("data", report)
    main(["data", "info", str(root), "--sheet", str(tmp_path / "sheet.png"), "--no-c2pa"])
    sheet = read_claim(tmp_path / "sheet.png", ".png")
    assert sheet is not None and sheet.world_hash == digest and sheet.seed is None and not sheet.composite
    export_clip(Dataset(root), ExportConfig(root, "mp4", tmp_path / "a.mp4"))
    found = inspect_file(tmp_path / "a.mp4")
    assert found["claim"] == claim.to_dict() and found["manifest"]["valid"] and found["watermark"]["world_hash"] == digest[:8]


def test_lost_metadata_leave_the_watermark(tmp_path: Path) -> None:
    frames = list(read_frames(write(tmp_path / "a.mp4", scenes(4), scale=4), ".mp4"))
    report = inspect_file(write(tmp_path / "again.mp4", np.stack(frames)[:, ::2, ::2], claim=None))
    assert report["claim"] is None and report["manifest"] is None
    assert report["watermark"]["world_hash"] == CLAIM.world_hash[:8]
    claim = Claim("another", "f" * 16)
    text = format_inspection("a", inspect_file(write(tmp_path / "b.mp4", np.stack(frames), claim, MarkOptions(watermark=False))))
    assert "these name different worlds: metadata ffffffff, manifest ffffffff, watermark 01234567" in text


def test_the_command_prints_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, figures = write(tmp_path / "a.png"), tmp_path / "a.json"
    main(["inspect", str(path), "--json", str(figures)])
    shown = capsys.readouterr().out
    assert 'prompt: a "red" room \\u202e\n' in shown and "\u202e" not in shown
    assert json.loads(figures.read_text())["claim"] == CLAIM.to_dict()


def test_a_changed_clip_ends_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.mp4", scenes(4), scale=2)
    path.write_bytes(path.read_bytes().replace(b"doom/studio", b"DOOM/studio", 1))
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(path)])
    assert stopped.value.code == 1 and "C2PA manifest: INVALID, the file is not as it was signed" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_one_error(tmp_path: Path, ending: str) -> None:
    whole, path, rng = write(tmp_path / f"a{ending}").read_bytes(), tmp_path / f"b{ending}", np.random.default_rng(0)
    for _ in range(30):
        content = bytearray(whole)
        for where in rng.integers(0, len(whole), 20):
            content[where] = rng.integers(256)
        path.write_bytes(bytes(content[: rng.integers(1, len(whole))]))
        try:
            format_inspection("b", inspect_file(path))
        except FileError as error:
            assert str(error).isprintable()


def test_too_large_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png")
    monkeypatch.setattr(inspection, "MOST_PIXELS", 100)
    with pytest.raises(FileError, match="has 96x64 pixels; at most 100 in all are looked at"):
        inspect_file(path)
    monkeypatch.undo()
    monkeypatch.setattr(inspection, "MOST_FRAMES", 2)
    assert inspect_file(write(tmp_path / "b.mp4", scenes(5)))["frames"] == 2


def test_ranges() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0 to 2, 5, 7 to 8" and ranges([]) == ""
