"""Writes the reference pages while the site is built: one page per part of the package, and the help of every command.

A new module appears by itself; a new part needs a line under "Reference" in mkdocs.yml, which a warning asks for.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest.mock import patch

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PARTS = {path.name: path for parent in ("worldsim", "") for path in (ROOT / parent).iterdir() if (path / "__init__.py").is_file()}
NOT_DOCUMENTED = {"worldsim", "tests", "worlds", "__main__"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    alone = [path.stem for path in sorted((ROOT / "worldsim").glob("[a-z]*.py"))]
    pages = {"worldsim": page("worldsim", ["worldsim", *(f"worldsim.{name}" for name in alone)])}
    for name, folder in PARTS.items():
        if name not in NOT_DOCUMENTED:
            pages[name] = page(f"worldsim.{name}", modules(folder, f"worldsim.{name}"))
    pages["commands"] = commands()
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def modules(folder: Path, name: str) -> list[str]:
    """Dotted names of the public modules in a folder, itself first."""
    found = [path.relative_to(folder).with_suffix("").parts for path in sorted(folder.rglob("*.py"))]
    public = [parts for parts in found if not any(part.startswith("_") for part in parts if part != "__init__")]
    return sorted(".".join([name, *(part for part in parts if part != "__init__")]) for parts in public)


def page(title: str, names: list[str]) -> str:
    """Markdown that mkdocstrings fills with the docstrings of modules."""
    return "\n\n".join([f"# {title}", *(f"::: {name}" for name in names)]) + "\n"


def commands() -> str:
    """Markdown with the help of every command, as it is printed."""
    from worldsim.cli.app import COMMANDS, main

    text = ["# Commands"]
    for name, command in COMMANDS.items():
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit), patch.dict(os.environ, COLUMNS="100"):
            main([*name.split(), "--help"])
        text += [f"## worldsim {name}", command.summary, f"```text\n{shown.getvalue().strip()}\n```"]
    return "\n\n".join(text) + "\n"
