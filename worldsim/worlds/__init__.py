"""Worlds that come with the package, as `<game>/<name>` folders beside this file, and how any world is found.

Importing this loads no PyTorch.
"""

from __future__ import annotations

from pathlib import Path

from worldsim.errors import FileError, WorldError, shown, suggest
from worldsim.hub import download, is_hub_id

SHIPPED = Path(__file__).parent
DEFAULT_WORLD = "doom/take-cover"
FILES = ("config.json", "tokenizer.safetensors", "dynamics.safetensors", "starts.safetensors")  # of any world
WORDS_FILE = "words.safetensors"  # of a world that reads prompts


def shipped_worlds() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(path.parent.relative_to(SHIPPED).as_posix() for path in SHIPPED.glob("*/*/config.json"))


def files_of(folder: Path) -> tuple[str, ...]:
    """Names of the files that make a world what it is, in a folder that holds one."""
    return (*FILES, WORDS_FILE) if (folder / WORDS_FILE).is_file() else FILES


def find_world(name: str | Path) -> Path:
    """Folder of a world given by shipped name, path or Hub id.

    Raises:
        WorldError: if none of them fits.
    """
    shipped = shipped_worlds()
    if isinstance(name, str) and name in shipped:
        return SHIPPED / name
    problem = f"no world {shown(name)}; shipped: {', '.join(shipped) or 'none'}; or give a folder."
    if not isinstance(name, str | Path) or not str(name):
        raise WorldError(problem)
    try:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder
        trained = Path("runs") / name / "world"  # where `worldsim train` writes by default
        problem += f" Did you mean {trained}?" if trained.is_dir() else ""
    except (OSError, RuntimeError, ValueError):  # too long, of an unknown user, with a zero character
        raise WorldError(problem) from None
    families = {world.split("/")[0] for world in shipped}  # whose unknown names are no Hub ids
    if isinstance(name, Path) or not is_hub_id(name) or name.split("/")[0] in families:
        raise WorldError(problem + suggest(str(name), shipped))
    try:
        return download(name, "model", (*FILES, WORDS_FILE, "README.md"))
    except FileError as error:
        raise WorldError(f"{problem} Besides, {error}") from error
