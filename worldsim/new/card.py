"""The card of a world, out of measured figures: README.md in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.data import Dataset
from worldsim.envs.games import GameSpec
from worldsim.envs.games.infer import controls_of
from worldsim.files import write_text
from worldsim.tables import markdown_table
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
        f"{grid[0] * grid[1]} tokens each; it looks back {config.dynamics.window} frames, and makes "
        f"{figures['world']['calls']} network calls a frame. {size:.1f} MB.",
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
    for name, of in figures.get("things", {}).items():
        lines += ["", *_thing(name, of, horizons)]
    if "around" in figures:
        around = figures["around"]
        lines += ["", *_table(f"around the {around['class']}, free-running", around["psnr"]["free-running"], horizons)]
    if "collapse" in figures:
        lines += ["", *_long_dreams(figures["collapse"])]
    if any(of["trials"] for of in figures.get("marks", {}).values()):
        lines += ["", *_marks(figures["marks"])]
    if config.source:
        lines += ["", f"The game was loaded from `{config.source}`. Nothing in this folder is executed."]
    write_text(world / "README.md", "\n".join(lines) + "\n")
    return world / "README.md"


def _players(dataset: Dataset) -> str:
    return ", ".join(sorted({episode.policy for episode in dataset.episodes}))


def _thing(name: str, figures: Mapping[str, Any], horizons: Sequence[int]) -> list[str]:
    """What is seen of a thing of which there is one, and how far it is from where the game has it."""
    forced, free = figures["teacher-forced"], figures["free-running"]
    rows = {"real frames": forced["real frames"], "reconstructions": forced["tokenizer ceiling"]}
    for mode, of in (("next frame", forced), ("free-running", free)):
        rows |= {f"{row}, {mode}": of[row] for row in ("model", "model, expected") if row in of}
    table = []
    for row, of in rows.items():
        places = [f"{_share(error, 1)} ({_share(near, 2)})" for error, near in zip(of["error"], of["near"], strict=True)]
        table.append([row, _share(of["visible"], 3), _share(of["at_most_one"], 3), *places])
    title = (f"{name}: distance in px (share up to 2 px)", "seen", "at most one", *map(str, horizons))
    return markdown_table(title, table).splitlines()


def _long_dreams(collapse: Mapping[str, Any]) -> list[str]:
    rows = [["look like the game", _share(collapse["like_the_game_real"], 2), *(_share(e, 2) for e in collapse["like_the_game"])]]
    for part, said in (("at_most_one", "at most one"), ("shown", "at least one")):
        for name, of in collapse[part].items():
            rows.append([f"{said} {name}", _share(collapse[f"{part}_real"][name], 2), *(_share(e, 2) for e in of)])
    return markdown_table(("long dreams, share of frames up to", "recorded", *map(str, collapse["ages"])), rows).splitlines()


def _marks(marks: Mapping[str, Any]) -> list[str]:
    rows = [
        [f"{row}, {of['frames']:.0f} frames later", *(_share(shares[part], 2) for part in ("made", "stays", "left_alone"))]
        for of in marks.values()
        for row, shares in of["rows"].items()
    ]
    return markdown_table(("changes out of view and back", "made at once", "stay", "left alone, stay away"), rows).splitlines()


def _share(estimate: Mapping[str, Any], digits: int) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.{digits}f}"


def _table(mode: str, psnr: Mapping[str, Any], horizons: Sequence[int]) -> list[str]:
    """PSNR by row and horizon; a dash stands for what could not be counted."""
    rows = []
    for name in ROWS:
        if name in psnr:
            values = [estimate["value"] for estimate in psnr[name]][: len(horizons)]
            rows.append([name, *("-" if value is None else f"{value:.1f}" for value in values)])
    return markdown_table((f"PSNR dB, {mode}", *map(str, horizons)), rows).splitlines()
