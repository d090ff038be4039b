from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worldsim.world import World, export_world, read_config
from worldsim.world.card import card_head, world_card


def test_a_card_is_written_from_the_config(tiny_world: World, tmp_path: Path) -> None:
    figures = {"psnr": 30.123456, "half_life": ">64", "\x1b[2J": 1, "table": [1, 2]}
    config = replace(tiny_world.config, figures=figures)
    parts = (tiny_world.tokenizer, tiny_world.dynamics, tiny_world.starts, tiny_world.start_controls)
    folder = export_world(tmp_path / "world", config, *parts)
    card = world_card(folder, read_config(folder), "me/tiny", report="| \x07 |", license="mit")
    head, _, text = card.removeprefix("---\n").partition("\n---\n")
    assert head == "library_name: worldsim\nlicense: mit\ntags:\n- worldsim\n- world-model\n- game"
    assert "# test/tiny" in text and "| controls | a, d, mouse.dx, mouse.dy, mouse.left |" in text
    assert "| psnr | 30.12 |" in text and "| half_life | >64 |" in text and "table" not in text and r"| \x1b[2J | 1 |" in text
    assert "worldsim play me/tiny" in text and "## Measured" in text


def test_a_card_that_is_there_is_kept(tiny_world_path: Path, tmp_path: Path) -> None:
    config = read_config(tiny_world_path)
    (tmp_path / "README.md").write_text("# mine\n\nMy own words.\n")
    card = world_card(tmp_path, config, "me/tiny")
    assert card.startswith("---\nlibrary_name: worldsim\n") and "\n---\n\n# mine\n\nMy own words.\n\n## Use it" in card
    (tmp_path / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# mine\n")
    assert world_card(tmp_path, config, "me/tiny", license="mit").startswith("---\nlicense: cc0-1.0\n---\n\n# mine\n\n## Use it")


def test_empty_fields_are_left_out_of_the_head() -> None:
    assert card_head({"license": "", "tags": ["a", "b"], "library_name": "x"}) == "tags:\n- a\n- b\nlibrary_name: x"
