"""Who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "worldsim").rglob("*.py"), *(ROOT / "envs").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")])

BASE = ("choices", "controls", "device", "errors", "files", "hub", "machine", "provenance", "tables")
BELOW = (
    *BASE,
    "scale",
    "plotting",
    "kernels",
    "model",
    "world",
    "worlds",
    "data",
    "capture",
    "envs.games",
    "envs",
    "train",
    "presets",
)

# Part of the package -> the parts it may import, besides itself. A module belongs to the longest name it starts with.
ALLOWED: dict[str, tuple[str, ...]] = {
    "errors": (),
    "choices": (),
    "files": ("errors",),
    "tables": (),
    "machine": (),
    "provenance": ("errors", "files"),
    "scale": ("errors",),
    "plotting": ("errors",),
    "worlds": ("errors", "hub"),
    "hub": ("errors",),
    "kernels": (),
    "controls": ("errors", "files", "device"),
    "device": ("errors", "files", "machine"),
    "model": (*BASE, "kernels"),
    "world": (*BASE, "model", "worlds"),
    "data": ("choices", "controls", "errors", "files", "hub", "machine", "provenance", "scale", "tables"),
    "data.importers": ("data", "controls", "errors", "files", "envs.games"),
    "data.exporters": ("data", "data.importers", "controls", "errors", "files", "provenance"),
    "capture": ("choices", "controls", "errors", "files", "machine", "data"),
    "envs.games": ("controls", "errors"),
    "envs": (*BASE, "world", "worlds", "data", "envs.games"),
    "train": (*BASE, "plotting", "model", "data", "world"),
    "presets": (*BASE, "model", "data", "world", "train", "studio", "envs.games"),
    "studio": tuple(part for part in BELOW if part != "presets"),
    "eval": BELOW,
    "player": (*BELOW, "studio"),
    "transfer": (*BELOW, "eval"),
    "serve": (*BELOW, "player"),
    "bench": (*BELOW, "serve", "transfer"),
    "new": (*BELOW, "eval", "bench"),
}
FREE = ("", "cli", "__main__")  # the package itself, and the command, which may import everything


def module_of(path: Path) -> str:
    """Dotted name inside the package: worldsim/data/video.py -> data.video, envs/dream.py -> envs.dream."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in (parts[1:] if parts[0] == "worldsim" else parts) if part != "__init__")


def part_of(module: str) -> str:
    fitting = [name for name in (*ALLOWED, *FREE[1:]) if module == name or module.startswith(f"{name}.")]
    return max(fitting, key=len, default="")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module or ''}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    own = part_of(module)
    if module in FREE or own == "cli":
        return
    assert own, f"{module} has no row in ALLOWED; say what it may import"
    for name in imports(path):
        assert not name.startswith("."), (
            f"{module} imports {name}; give the whole name, since envs/ installs elsewhere than it lies"
        )
        if name.split(".")[0] == "worldsim":
            other = part_of(name.removeprefix("worldsim").lstrip("."))
            assert other in (own, *ALLOWED[own]), f"{module} imports {name}, but {own} may only import {ALLOWED[own]}"


@pytest.mark.parametrize(
    "path", [*SOURCES, ROOT / "play.py", *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_top_folders_go_by_their_installed_names(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"envs", "kernels"}, "import worldsim.envs and worldsim.kernels"


def test_every_row_is_of_something_there_is() -> None:
    used = {part_of(module_of(path)) for path in SOURCES}
    assert set(ALLOWED) == used - set(FREE)
