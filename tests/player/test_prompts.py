from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.data.images import save_png
from worldsim.errors import WorldError
from worldsim.player.config import PlayConfig
from worldsim.player.session import Session


def test_a_dream_begins_with_a_picture_and_reads_prompts(tiny_studio_path: Path, tmp_path: Path) -> None:
    picture = np.full((64, 96, 3), 200, np.uint8)
    save_png(tmp_path / "photo.png", picture)
    config = PlayConfig(str(tiny_studio_path), image=tmp_path / "photo.png", device="cpu", recordings=tmp_path)
    session = Session(config)
    session.restart()
    begun = session.panes["dream"].frame
    session.restart()
    assert (session.panes["dream"].frame == begun).all(), "every time"
    assert session.claim() is None, "the picture itself is not generated"
    session.advance(Controls())
    assert session.claim() is not None
    session.say("two soldier")
    assert session.dream.world.prompt == "two soldier" and session.notices == ["prompt: two soldier"]
    session.advance(Controls())
    session.close()


def test_a_dream_begins_with_what_its_prompt_says(tiny_studio_path: Path, tmp_path: Path) -> None:
    session = Session(PlayConfig(str(tiny_studio_path), prompt="red room", device="cpu", recordings=tmp_path))
    session.restart()
    first = session.panes["dream"].frame
    session.restart()
    assert (session.panes["dream"].frame != first).any(), "another picture for every start"
    save_png(tmp_path / "photo.png", np.zeros((32, 48, 3), np.uint8))
    session.begin_with(tmp_path / "photo.png")
    assert (session.panes["dream"].frame != first).any()
    session.close()


def test_a_world_without_prompts_says_so(tiny_world_path: Path, tmp_path: Path) -> None:
    session = Session(PlayConfig(str(tiny_world_path), device="cpu", recordings=tmp_path))
    session.restart()
    with pytest.raises(WorldError, match="reads no prompts"):
        session.say("a room")
    session.close()
