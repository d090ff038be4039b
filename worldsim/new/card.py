"""The card of a world, out of measured figures: README.md in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.data import Dataset
from worldsim.envs.games import GameSpec
from worldsim.envs.games.infer import controls_of
from worldsim.files import markdown_table, write_text
from worldsim.world import read_config

ROWS = ("tokenizer ceiling", "copy-last-frame", "model", "model, expected", "shuffled controls, expected")


def write_card(world: Path, data: Path, figures: Mapping[str, Any], game: GameSpec, command: str) -> Path:
    """Writes the card of a finished world.

    Args:
        world: its folder.
        data: dataset that it was trained on.
        figures: of `worldsim eval`, as in its JSON file.
        game: that it was learned from.
        command: that made it.

    Returns:
        The card's path.
    """
    config, train, held_out = read_config(world), Dataset(data, "train"), Dataset(data, "eval")
    grid = config.tokenizer.grid(config.height, config.width)
    size = sum(path.stat().st_size for path in world.glob("*.safetensors")) / 1e6
    controls = ", ".join(
        f"`{name}` ({game.meanings[name]})" if name in game.meanings else f"`{name}`" for name in controls_of(game.control_spec)
    )
    machine, settings = figures["machine"], figures["config"]
    horizons = settings["horizons"]
    lines = [
        f"# {config.name}",
        "",
        f"A learned copy of `{config.game}`. Frames of {config.width}x{config.height} pixels, {config.fps:.4g} a second, "
        f"{grid[0] * grid[1]} tokens each; it looks back {config.dynamics.window} frames, and makes {config.num_steps} network "
        f"calls a frame. {size:.1f} MB.",
        "",
        f"Controls: {controls}.",
        "",
        f"**Trained** by `{command}` on {train.total_frames:,} frames ({len(train):,} episodes; played by {_players(train)}).",
        "",
        f"**Measured** on {len(held_out):,} held-out episodes ({held_out.total_frames:,} frames), {settings['clips']} clips, "
        f"seed {settings['seed']}; {machine['cpu']}, {machine['cores']} cores, {machine['device']} {machine['dtype']}, "
        f"runtime {figures['runtime']}.",
        "",
        *_table("free-running", figures["psnr"]["free-running"], horizons),
        "",
        *_table("teacher-forced", figures["psnr"]["teacher-forced"], horizons),
        "",
        f"Half-life: {figures['half_life']['step'] or 'more than ' + str(figures['half_life']['steps_measured'])} frames.",
    ]
    if config.source:
        lines += ["", f"The game was loaded from `{config.source}`. Nothing in this folder is executed."]
    write_text(world / "README.md", "\n".join(lines) + "\n")
    return world / "README.md"


def _players(dataset: Dataset) -> str:
    return ", ".join(sorted({episode.policy for episode in dataset.episodes}))


def _table(mode: str, psnr: Mapping[str, Any], horizons: Sequence[int]) -> list[str]:
    """PSNR by row and horizon; a dash stands for what could not be counted."""
    rows = []
    for name in ROWS:
        if name in psnr:
            values = [estimate["value"] for estimate in psnr[name]][: len(horizons)]
            rows.append([name, *("-" if value is None else f"{value:.1f}" for value in values)])
    return markdown_table((f"PSNR dB, {mode}", *map(str, horizons)), rows).splitlines()
