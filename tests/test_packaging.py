"""What is published is complete: it installs into an empty environment and every module imports there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PARTS = ("worldsim", "envs", "kernels")
IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys, worldsim
assert worldsim.__file__.startswith(sys.prefix), worldsim.__file__
names = [module.name for module in pkgutil.walk_packages(worldsim.__path__, "worldsim.")]
for name in names:
    importlib.import_module(name)
assert importlib.util.find_spec("envs") is None and importlib.util.find_spec("kernels") is None
print(*names)
"""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefix of an environment that holds our wheel, and beside it only the dependencies of this one."""
    folder = tmp_path_factory.mktemp("packaging")
    source, prefix = folder / "source", folder / "venv"
    for part in filter(Path.exists, (ROOT / name for name in PARTS)):
        shutil.copytree(part, source / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    call([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)])
    call([sys.executable, "-m", "venv", "--without-pip", str(prefix)])
    (wheel,) = folder.glob("*.whl")
    call([*pip, "--python", str(prefix / "bin/python"), "install", "--no-deps", "--no-index", str(wheel)])
    (site,) = prefix.glob("lib/python*/site-packages")
    # The paths alone: editable installs of this environment do not come along.
    paths = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "dependencies.pth").write_text("\n".join(paths) + "\n")
    return prefix


def call(command: list[str]) -> str:
    """Output of a command, which must succeed, away from the checkout."""
    run = subprocess.run(command, capture_output=True, text=True, cwd="/", env={**os.environ, "PYTHONPATH": ""})
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_package_is_listed(project: dict[str, Any]) -> None:
    setuptools = project["tool"]["setuptools"]
    folders = [path.parent.relative_to(ROOT) for part in PARTS for path in (ROOT / part).rglob("__init__.py")]
    names = {".".join(f.parts if f.parts[0] == "worldsim" else ("worldsim", *f.parts)): str(f) for f in folders}
    assert sorted(setuptools["packages"]) == sorted(names)
    mapped = {name: folder for name, folder in names.items() if name.replace(".", "/") != folder}
    assert setuptools["package-dir"] == {"worldsim": "worldsim", **mapped}


def test_every_requirement_is_pinned(project: dict[str, Any]) -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r'[\w.-]+==[\w.]+(; python_version (<|>=) "3\.11")?', line) for line in lines)
    pinned = {normal(line.split("==")[0]) for line in lines}
    extras = project["project"]["optional-dependencies"].values()
    wanted = [project["project"]["dependencies"], project["build-system"]["requires"], *extras]
    names = {normal(re.split(r"[<>=\[]", requirement)[0]) for group in wanted for requirement in group}
    assert names - {normal(project["project"]["name"])} <= pinned


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def test_every_module_imports_in_an_empty_environment(installed: Path) -> None:
    names = set(call([str(installed / "bin/python"), "-c", IMPORT_ALL]).split())
    assert {"worldsim.cli.train", "worldsim.envs.games.doom", "worldsim.train.run", "worldsim.player.window"} <= names


def test_data_files_are_installed(installed: Path) -> None:
    (package,) = installed.glob("lib/python*/site-packages/worldsim")
    assert (package / "py.typed").is_file()
    assert all((package / "studio" / f"{name}.safetensors").is_file() for name in ("words", "judge", "detector"))
    assert list(package.parent.glob("worldsim_dit-*.dist-info/licenses/LICENSE"))
    for folder in ("worlds", "serve/static"):
        shipped = {path.relative_to(ROOT / "worldsim") for path in (ROOT / "worldsim" / folder).rglob("*") if path.is_file()}
        files = {path.relative_to(package) for path in (package / folder).rglob("*") if path.is_file()}
        assert {path for path in shipped if path.suffix != ".pyc"} == {path for path in files if path.suffix != ".pyc"}


def test_commands_are_installed(installed: Path) -> None:
    assert "bench" in call([str(installed / "bin/worldsim"), "--help"])
    assert os.access(installed / "bin/worldsim-play", os.X_OK)
