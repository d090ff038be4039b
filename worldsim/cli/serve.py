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
    check_server()
    from worldsim.serve.server import serve as run

    run(config)


def check_server() -> None:
    """Raises `ServeError` unless the packages of the extra `serve` are installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ServeError(f"a server needs {', '.join(missing)}; install with: pip install 'worldsim-dit[serve]'")
