from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.cli.app import main
from worldsim.studio.watermarking import ways


def test_the_command_measures_it(
    tiny_studio_path: Path, captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "watermark.json"
    about = ["--eval-data", str(captioned), "--world", str(tiny_studio_path), "--clips", "2", "--frames", "20"]
    main(["studio", "watermark", *about, "--json", str(figures)])
    written = json.loads(figures.read_text())
    marked, unmarked = written["marked"], written["unmarked"]
    assert marked["clips"] == 2 and marked["frames"] == 16 and set(marked["ways"]) == set(ways())
    assert marked["ways"]["frames"]["bits"] == marked["ways"][".png of all frames"]["found"] == 1
    assert 40 < marked["psnr"]["least"] <= marked["psnr"]["median"] < 55
    assert unmarked["real frames"]["looked"] >= 20 and unmarked["dreamed frames"]["looked"] == 16
    assert all(row["found"] == 0 and row["agreeing"] < 30 for row in unmarked.values())
    assert written["hash"] and written["machine"]["cpu"] and written["sure"] == 1e-6
    shown = capsys.readouterr().out
    assert "2 clips, 16 frames; PSNR" in shown and ".mp4, half size, .mp4" in shown
