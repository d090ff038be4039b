from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worldsim.world import World, export_world
from worldsim.world.shelf import describe_world, format_worlds


def test_figures_reach_the_terminal_escaped_and_cut(tiny_world: World, tmp_path: Path) -> None:
    figures = {"psnr": 30.25, "\x1b[2J": "\x07" + "x" * 100_000, "curve": [1, 2]}
    config = replace(tiny_world.config, figures=figures)
    parts = (tiny_world.tokenizer, tiny_world.dynamics, tiny_world.starts, tiny_world.start_controls)
    text = format_worlds([describe_world(export_world(tmp_path / "world", config, *parts))])
    assert "psnr 30.25" in text and r"\x1b[2J \x07xxx" in text and "curve" not in text
    assert all(line.isprintable() for line in text.splitlines()) and len(text) < 1000
