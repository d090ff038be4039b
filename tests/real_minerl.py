"""MineRL itself, where WORLDSIM_MINERL_0 and WORLDSIM_MINERL_1 name Pythons with MineRL 0.4.4 and 1.0.

Neither needs Java: nothing here starts Minecraft. docs/how-to/minerl.md says how to make such environments.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "minerl"
OLD, NEW = (os.environ.get(f"WORLDSIM_MINERL_{version}", "") for version in (0, 1))
needs_old = pytest.mark.skipif(not OLD, reason="WORLDSIM_MINERL_0 names no Python with MineRL 0.4.4")
needs_new = pytest.mark.skipif(not NEW, reason="WORLDSIM_MINERL_1 names no Python with MineRL 1.0")


def ask(python: str, *arguments: str | Path) -> Any:
    """What MineRL says; see `minerl/says.py`."""
    command = [python, "-W", "ignore", str(FOLDER / "says.py"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])
