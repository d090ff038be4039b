"""`worldsim serve`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

from worldsim.cli.options import FLAT
from worldsim.errors import ServeError
from worldsim.serve import ServeConfig

SERVE = ServeConfig()
NEEDED = ("starlette", "uvicorn", "websockets")


def serve(config: Annotated[ServeConfig, FLAT] = SERVE) -> None:
    """Lets people play in their browsers; Ctrl-C ends it."""
    if not can_serve():
        raise ServeError(f"a server needs {', '.join(NEEDED)}; install with: pip install 'worldsim-dit[serve]'")
    from worldsim.serve.server import serve as run

    run(config)


def can_serve() -> bool:
    """Whether the packages of the extra `serve` are installed."""
    return all(find_spec(name) for name in NEEDED)
