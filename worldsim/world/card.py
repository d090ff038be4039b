"""The page of a world where it is shared: what it is, how to play it, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsim.errors import printable
from worldsim.files import read_text
from worldsim.tables import markdown_table
from worldsim.world.config import WorldConfig
from worldsim.world.shelf import describe_world

CARD = "README.md"
LIBRARY = "worldsim"
LONGEST = 2**20  # characters of a card


def world_card(folder: Path, config: WorldConfig, name: str, *, report: str = "", license: str = "") -> str:
    """Markdown for the Hub: the card in the world's folder, or one made from its config, below a head that
    the Hub reads.

    Args:
        folder: of the world.
        config: of the world.
        name: on the Hub, "user/name".
        report: tables that `worldsim eval` printed; added at the end.
        license: of the weights, as the Hub names it; left out where empty.

    Raises:
        FileError: if the card in the folder cannot be read.
    """
    path = folder / CARD
    text = read_text(path)[:LONGEST] if path.is_file() else _written(folder, config)
    if text.startswith("---\n"):  # it has a head of its own
        head, _, text = text[4:].partition("\n---\n")
    else:
        head = card_head({"library_name": LIBRARY, "license": license, "tags": ["worldsim", "world-model", "game"]})
    use = f"```python\nfrom worldsim import World\n\nworld = World.load({name!r})\n```\n\n```sh\nworldsim play {name}\n```"
    parts = [f"---\n{head.strip()}\n---", text.strip(), "## Use it", f'`pip install "worldsim-dit[hub]"`, then\n\n{use}']
    if report:
        parts += ["## Measured", f"Printed by `worldsim eval`:\n\n```text\n{report.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def card_head(fields: Mapping[str, Any]) -> str:
    """YAML of the fields that are not empty; texts and lists of texts, without quotes or line breaks."""
    lines = []
    for field, value in fields.items():
        if isinstance(value, list):
            lines += [f"{field}:", *(f"- {item}" for item in value)]
        elif value:
            lines.append(f"{field}: {value}")
    return "\n".join(lines)


def _written(folder: Path, config: WorldConfig) -> str:
    """A card from what the config says."""
    about, spec = describe_world(folder), config.control_spec
    rows = [
        ("game", config.game),
        ("controls", ", ".join(spec.names) or "none"),
        ("frames", f"{config.width}x{config.height}, {config.fps:g}/s"),
        ("context", f"{config.dynamics.window} frames"),
        ("network calls per frame", str(config.num_steps)),
        ("parameters", f"{about['parameters'] / 1e6:.1f} million"),
        ("size", f"{about['megabytes']:.1f} MB"),
        ("training recordings", f"`{config.data}`" if config.data else "unknown"),
    ]
    figures = [(printable(str(name), 80), _figure(value)) for name, value in sorted(config.figures.items(), key=str)]
    parts = [f"# {config.name}", "A world that worldsim learned from recordings of a game.", markdown_table(("", ""), rows)]
    if any(text for _, text in figures):
        parts.append(markdown_table(("figure", "value"), [(name, text) for name, text in figures if text]))
    return "\n\n".join(parts)


def _figure(value: Any) -> str:
    """A figure as text; nothing for tables."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value), 80) if isinstance(value, int | str) else ""
