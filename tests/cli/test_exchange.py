from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.cli.app import main
from worldsim.data import Dataset

from .conftest import Failure


def test_a_dataset_is_exported_imported_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: Failure) -> None:
    recorded, out = tmp_path / "recorded", tmp_path / "lerobot"
    options = ["--frames", "40", "--eval-frames", "0", "--processes", "1"]
    main(["collect", "toy/dodge", *options, "--out", str(recorded)])
    capsys.readouterr()
    main(["data", "export", str(recorded), "--to", "lerobot", "--out", str(out)])
    count = len(Dataset(recorded))
    assert capsys.readouterr().out == f"{count} episodes, {Dataset(recorded).total_frames} frames: {out}\n"
    for added in (count, 0):
        main(["data", "import", "lerobot", str(out), "--out", str(tmp_path / "back"), "--json", str(tmp_path / "done.json")])
        assert json.loads((tmp_path / "done.json").read_text())["episodes"] == added
    assert f"0 episodes added with 0 frames, {count} were there" in capsys.readouterr().out
    assert Dataset(tmp_path / "back").info.game == "toy/dodge"
    main(["data", "export", str(recorded), "--to", "gif", "--out", str(tmp_path / "clip.gif"), "--frames", "3"])
    assert capsys.readouterr().out.startswith("3 frames") and (tmp_path / "clip.gif").stat().st_size > 100
    assert "ends in .mp4" in failure("data", "export", str(recorded), "--to", "mp4", "--out", str(tmp_path / "clip.avi"))


def test_what_an_import_needs_is_checked_first(failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no command 'vtp'; choose from: video, vpt," in failure("data", "import", "vtp")
    for kind in ("video", "vpt", "minerl", "owl", "d4rl", "minari", "lerobot"):
        assert "every was 0" in failure("data", "import", kind, "nowhere", "--out", "x", "--every", "0")
        assert "nowhere" in failure("data", "import", kind, "nowhere", "--out", "x")
    assert "no dataset at nowhere" in failure("data", "export", "nowhere", "--to", "mp4", "--out", "clip.mp4")
    assert not list(tmp_path.iterdir())
