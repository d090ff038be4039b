"""Worlds that come with the package, as `<game>/<name>` folders beside this file, and how any world is found.

Importing this loads no PyTorch.
"""

from __future__ import annotations

import re
from pathlib import Path

from worldsim.errors import WorldError, printable, shown, suggest

SHIPPED = Path(__file__).parent
DEFAULT_WORLD = "doom/take-cover"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)


def shipped_worlds() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(path.parent.relative_to(SHIPPED).as_posix() for path in SHIPPED.glob("*/*/config.json"))


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
    if isinstance(name, Path) or HUB_ID.fullmatch(name) is None or name.split("/")[0] in families:
        raise WorldError(problem + suggest(str(name), shipped))
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise WorldError(f'{problem} To load from the Hugging Face Hub: pip install "worldsim-dit[hub]".') from error
    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "*.safetensors", "README.md"]))
    except Exception as error:
        raise WorldError(f"{problem} The Hugging Face Hub did not give it either: {printable(str(error), 500)}") from error
