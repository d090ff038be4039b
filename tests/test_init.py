from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

import worldsim

HEAVY = ("torch", "tyro", "pygame", "pyarrow", "av", "vizdoom", "einops", "safetensors", "tqdm", "stable_baselines3")


def test_importing_loads_little_beyond_gymnasium() -> None:
    """Counts what is imported instead of timing it."""
    code = (
        "import sys, gymnasium; before = set(sys.modules); import worldsim\n"
        "new = set(sys.modules) - before\n"
        f"heavy = new & set({HEAVY})\n"
        "ours = {name for name in new if name.split('.')[0] == 'worldsim'}\n"
        "assert not heavy, heavy\n"
        "assert len(new - ours) < 40, sorted(new - ours)\n"
        "assert 'WorldSim/DoomTakeCover-v0' in gymnasium.registry"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch has another OpenMP")
@pytest.mark.parametrize(
    ("given", "spins"), [({}, 0), ({"GOMP_SPINCOUNT": "7"}, 7), ({"OMP_WAIT_POLICY": "ACTIVE"}, 30_000_000_000)]
)
def test_idle_threads_of_pytorch_do_not_spin_unless_the_user_wants_it(given: dict[str, str], spins: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **given}
    run = subprocess.run([sys.executable, "-c", "import worldsim, torch"], capture_output=True, text=True, env=environment)
    assert f"GOMP_SPINCOUNT = '{spins}'" in run.stderr, run.stderr


@pytest.mark.parametrize("name", worldsim.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(worldsim, name) is getattr(worldsim, name) and name in dir(worldsim)


def test_the_version_is_that_of_the_package() -> None:
    assert worldsim.__version__ == version("worldsim-dit")


def test_other_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wrld'"):
        worldsim.Wrld  # noqa: B018
