"""The commands of docs/how-to/provenance.md run, in a small version."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from test_docs import ROOT, shell

from worldsim.cli.app import main

PAGE = ROOT / "docs" / "how-to" / "provenance.md"
MEASURED = ("detector", "watermark")  # which test_detecting.py and test_watermarking.py run


def test_the_commands_run(
    tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for program, *words in shell(PAGE):
        if program != "worldsim" or words[1] in MEASURED:
            continue
        line = shlex.join(words).replace("doom/take-cover", f"{tiny_world_path} --device cpu --runtime torch")
        main(shlex.split(line if "--frames" in line or words[0] != "record" else f"{line} --frames 4"))
    shown = capsys.readouterr().out
    assert "dream.mp4: mp4, 192x128 pixels, 4 frames looked at" in shown
    assert "C2PA manifest: valid, signed on this computer" in shown and "of a world whose hash begins with" in shown
    assert "dreams: 1 of 1 episodes were dreamed" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"dream.mp4", "unsigned.gif", "dreams", "episode.mp4"}
